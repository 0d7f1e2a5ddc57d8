/** An error as SES answers with it: status, `x-amzn-errortype`, and JSON with a message. */
export class SesError extends Error {
  readonly status: number;

  constructor(status: number, name: string, message: string) {
    super(message);
    this.status = status;
    this.name = name;
  }
}

/** What a service of AWS answers to a call. */
export interface AwsAnswer {
  readonly statusCode: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** What an answer that is no success says of itself; where it says nothing, it may be a proxy's. */
export interface AwsError {
  readonly name: string | null;
  readonly message: string;
}

/** The names that errors had before a service's protocol was JSON, and that AWS still gives them. */
const NAME_NOW: Readonly<Record<string, string>> = { 'AWS.SimpleQueueService.NonExistentQueue': 'QueueDoesNotExist' };

/** The answer's JSON; empty where it is none. */
export function jsonOf({ body }: Pick<AwsAnswer, 'body'>): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Reads an error as AWS JSON 1.0 and REST JSON 1 have it (Smithy, "AWS JSON 1.0 protocol", "AWS restJson1 protocol"). */
export function awsErrorOf(answer: AwsAnswer): AwsError {
  const json = jsonOf(answer);
  const message = json['message'] ?? json['Message'];
  const type = answer.headers['x-amzn-errortype'] ?? json['__type'] ?? json['code'];
  return {
    name: errorName(type) ?? errorName(answer.headers['x-amzn-query-error']),
    message: typeof message === 'string' ? message : '',
  };
}

/** `aws.protocol#Name:http://…` is `Name`, and so is `Name;Sender`. */
function errorName(type: unknown): string | null {
  if (typeof type !== 'string') return null;
  const [name = ''] = type.split(/[:;]/, 1);
  const plain = name.slice(name.indexOf('#') + 1);
  return NAME_NOW[plain] ?? (plain || null);
}

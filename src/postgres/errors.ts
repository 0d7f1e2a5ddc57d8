/** A request to the store that cannot be met for a reason its caller can mend; the message is fit for people. */
export class StoreError extends Error {
  readonly code: 'not-found' | 'ambiguous' | 'conflict' | 'invalid';

  constructor(code: StoreError['code'], message: string) {
    super(message);
    this.name = 'StoreError';
    this.code = code;
  }
}

/** SQLSTATE class 23: unique_violation. */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '23505';
}

/** SQLSTATE class 22, data exceptions: a value that Postgres cannot store, such as a character that its encoding lacks. */
export function isDataException(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^22/.test(String(error.code));
}

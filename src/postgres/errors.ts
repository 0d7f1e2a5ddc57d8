import pg from 'pg';

/** What can be listed, named as the commands are. */
export type Listed = 'emails' | 'keys' | 'domains' | 'suppressions' | 'webhooks';

/** A request to the store that cannot be met for a reason its caller can mend; the message is fit for people. */
export class StoreError extends Error {
  readonly code: 'not-found' | 'ambiguous' | 'conflict' | 'invalid';
  /** A list of these says what there is; whoever tells of the error knows how it is had there. */
  readonly see: Listed | null;

  constructor(code: StoreError['code'], message: string, see: Listed | null = null) {
    super(message);
    this.name = 'StoreError';
    this.code = code;
    this.see = see;
  }
}

/** SQLSTATE class 23: unique_violation. */
export function isUniqueViolation(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '23505';
}

/** SQLSTATE insufficient_privilege: the role has no right to what was asked. */
export function isForbidden(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '42501';
}

/** SQLSTATE class 22, data exceptions: a value that Postgres cannot store, such as a character that its encoding lacks. */
export function isDataException(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^22/.test(String(error.code));
}

/** The connection failed (class 08), or the outcome is said to be unknown (40003): PostgreSQL, appendix A. */
const UNKNOWN = /^(?:08|40003)/;
/** transaction_rollback: other transactions were in the way. */
const CONFLICT = /^40/;
/**
 * What the server could not do for anybody just now: invalid_transaction_state (a server that is read-only is among them),
 * insufficient_resources, object_not_in_prerequisite_state (locks), operator_intervention, system_error.
 */
const ABOUT_SERVER = /^(?:25|53|55|57|58)/;

/**
 * Whether the error is the database's own answer to a statement. Anything else, be it of the network, the driver or a pooler,
 * leaves open what became of a statement that was sent.
 */
export function isAnswer(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && error.code !== undefined && !UNKNOWN.test(error.code);
}

/** Whether the database rolled back since others were in the way (serialization_failure, deadlock_detected). */
export function isConflict(error: unknown): boolean {
  return isAnswer(error) && CONFLICT.test(String(error.code));
}

/** Whether the database gave a statement up since it was asked to, or for its time (query_canceled). */
export function isCancelled(error: unknown): boolean {
  return isAnswer(error) && error.code === '57014';
}

/** Whether an error may be the fault of one of several rows that shared a statement, which stored none of them. */
export function mayBeOneRow(error: unknown): boolean {
  if (error instanceof OutcomeUnknown || isUnreachable(error)) return false;
  return !(isAnswer(error) && ABOUT_SERVER.test(String(error.code)));
}

/** A statement was sent, and the database did not say in time what became of it. The last error is its cause. */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown';

  constructor(cause: unknown) {
    super('the database did not say whether it is stored', { cause });
  }
}

const NETWORK_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  // A socket in the file system that nobody has made yet.
  'ENOENT',
]);
/** read_only_sql_transaction: a standby, or a primary that is one no more (PostgreSQL, appendix A). */
export const READ_ONLY = '25006';
/** Connection lost, too many connections, starting up or shutting down (PostgreSQL, appendix A). */
const TEMPORARY_SQLSTATE = /^(?:08|53300|57P0|25006)/;
/** The driver's own errors have no code. */
const DRIVER_MESSAGE = /timeout|terminated|not queryable|closed/i;

/** Whether the database has no connection to spare (too_many_connections; PostgreSQL, appendix A). */
export function isFull(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '53300';
}

/** Whether the database could not be reached or would not serve just now; a moment later it may. */
export function isUnreachable(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.some(isUnreachable);
  if (!(error instanceof Error)) return false;
  const code = 'code' in error ? String(error.code) : '';
  if (error instanceof pg.DatabaseError) return TEMPORARY_SQLSTATE.test(code);
  return code === '' ? DRIVER_MESSAGE.test(error.message) : NETWORK_CODES.has(code);
}

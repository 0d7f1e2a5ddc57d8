import pg from 'pg';

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

import pg from 'pg';
import { isUnreachable } from './unreachable.ts';

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

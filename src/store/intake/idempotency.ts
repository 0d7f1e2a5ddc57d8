import type { Queryable } from '../../postgres/pool.ts';
import type { IdempotencyClaim, IdempotencyOutcome } from '../messages/new-message.ts';

interface IdempotencyRow {
  readonly email_id: string;
  readonly envelope_hash: Buffer;
  readonly content_hash: Buffer;
}

/** Two sessions that use one key at once take turns, so that the second sees what the first has stored. */
const LOCK = `select pg_advisory_xact_lock(hashtextextended($1 || chr(10) || $2, 0))`;

const FIND = `
  select email_id, envelope_hash, content_hash from smtp_relay_idempotency
   where user_id = $1 and key = $2 and created_at > now() - interval '24 hours'`;

const REMEMBER = `
  insert into smtp_relay_idempotency (user_id, key, envelope_hash, content_hash, email_id)
  values ($1, $2, $3, $4, $5)
  on conflict (user_id, key, envelope_hash)
  do update set content_hash = excluded.content_hash, email_id = excluded.email_id, created_at = now()`;

const DELETED_AT_ONCE = 10_000;

const DELETE_EXPIRED = `
  delete from smtp_relay_idempotency
   where ctid in (select ctid from smtp_relay_idempotency where created_at < now() - interval '24 hours' limit ${DELETED_AT_ONCE})`;

/** What a key says about a message without claiming it; null where it is free. */
export async function findIdempotency(
  db: Queryable,
  userId: string,
  claim: IdempotencyClaim,
): Promise<IdempotencyOutcome | null> {
  const { rows } = await db.query<IdempotencyRow>(FIND, [userId, claim.key]);
  if (rows.some(row => !row.content_hash.equals(claim.contentHash))) return { kind: 'conflict' };
  const same = rows.find(row => row.envelope_hash.equals(claim.envelopeHash));
  return same ? { kind: 'repeated', id: same.email_id } : null;
}

/**
 * Claims a key for the message `emailId`, inside the transaction that stores it.
 *
 * @returns null where the key is now this message's; else what it was used for within the last 24 hours.
 */
export async function claimIdempotency(
  db: Queryable,
  userId: string,
  claim: IdempotencyClaim,
  emailId: string,
): Promise<IdempotencyOutcome | null> {
  await db.query(LOCK, [userId, claim.key]);
  const earlier = await findIdempotency(db, userId, claim);
  if (earlier === null) {
    const { rowCount } = await db.query(REMEMBER, [userId, claim.key, claim.envelopeHash, claim.contentHash, emailId]);
    if (rowCount !== 1) throw new Error('smtp_relay_idempotency took no row: does a trigger or rule keep it out?');
  }
  return earlier;
}

/** Deletes keys that no longer count, in steps that do not hold others up. @returns how many */
export async function deleteExpiredIdempotency(db: Queryable): Promise<number> {
  let total = 0;
  for (;;) {
    const deleted = (await db.query(DELETE_EXPIRED)).rowCount ?? 0;
    total += deleted;
    if (deleted < DELETED_AT_ONCE) return total;
  }
}

import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { type ApiKeyListing, findByReference, hashKey, noSuchKey } from './api-keys.ts';

/** How a declared key stands that a person has blocked. The same words wherever that is found out. */
export const BLOCKED = {
  reason: 'Blocked',
  message:
    'The key is refused, since a person has blocked it. Declare another key, or end it: smtp-relay keys unblock.',
} as const;

const BLOCK = `
  with hash as (select token_hash from api_keys where id = $1)
  insert into smtp_relay_blocked_keys (token_hash) select token_hash from hash on conflict do nothing`;

const UNBLOCK = `
  delete from smtp_relay_blocked_keys b
   where b.token_hash = $2 or b.token_hash in (select token_hash from api_keys where id = $1)`;

const READ = 'select token_hash as hash from smtp_relay_blocked_keys';

/** The next comparison with the documents finds the same; until then, people see it already. */
const SHOW_BLOCKED = `
  update smtp_relay_declared set ready = false, reason = $2, message = $3, transition_at = now(), updated_at = now()
   where kind = 'SmtpCredential' and $1 = any(owned) and reason <> $2`;

const SHOW_UNBLOCKED = `
  update smtp_relay_declared set ready = true, reason = 'Applied', message = '', transition_at = now(), updated_at = now()
   where kind = 'SmtpCredential' and $1 = any(owned) and reason = $2`;

/**
 * Has a key refused, whoever has made it and makes it again; its row stays. Looked at by the look-up of keys itself, so that open
 * sessions find out within ten seconds.
 *
 * @throws StoreError as `findByReference`
 */
export async function blockKey(db: Queryable, reference: string): Promise<ApiKeyListing> {
  const found = await findByReference(db, reference);
  await db.query(BLOCK, [found.id]);
  await db.query(SHOW_BLOCKED, [found.id, BLOCKED.reason, BLOCKED.message]);
  return { ...found, blocked: true };
}

/**
 * Ends that. A key whose row is gone is named by itself.
 *
 * @throws StoreError as `findByReference`, and where the key is not blocked
 */
export async function unblockKey(db: Queryable, reference: string): Promise<ApiKeyListing | null> {
  const hash = hashKey(reference);
  const found = await findByReference(db, reference).catch(error => {
    if (error instanceof StoreError && error.code === 'not-found') return null;
    throw error;
  });
  const { rowCount } = await db.query(UNBLOCK, [found?.id ?? null, hash]);
  if (!rowCount) throw found ? new StoreError('not-found', 'the key is not blocked') : noSuchKey();
  if (found) await db.query(SHOW_UNBLOCKED, [found.id, BLOCKED.reason]);
  return found && { ...found, blocked: false };
}

/** The hashes of all blocked keys. */
export async function readBlockedKeys(db: Queryable): Promise<ReadonlySet<string>> {
  return new Set((await db.query<{ hash: string }>(READ)).rows.map(({ hash }) => hash));
}

import type { Queryable } from '../../postgres/pool.ts';
import { removeBelongings } from '../messages/removal.ts';
import { IS_CAPTURED } from './search.ts';

/**
 * Messages with everything that is known of them, but for those that a worker has just now. $1 ids, $2 whether only those that go to
 * nobody.
 */
const REMOVE = `
  with free as materialized (
    select id from emails e
     where id = any ($1::uuid[]) and not exists (select from smtp_relay_claims where email_id = e.id and until > now())
       and (not $2 or ${IS_CAPTURED})
       for update skip locked
  ), ${removeBelongings('free')}, without_claims as (
    delete from smtp_relay_claims where email_id = any (array(select id from free))
  ), without_jobs as (
    delete from smtp_relay_outbox where email_id = any (array(select id from free))
  ), without_repeats as (
    delete from smtp_relay_idempotency where email_id = any (array(select id from free))
  )
  delete from emails where id = any (array(select id from free)) returning id`;

/** Removes messages and all that belongs to them. @returns the ids of those that are gone; a worker may have the others just now */
export async function removeMessages(
  db: Queryable,
  ids: readonly string[],
  onlyCaptured: boolean,
): Promise<readonly string[]> {
  return (await db.query<{ id: string }>(REMOVE, [ids, onlyCaptured])).rows.map(({ id }) => id);
}

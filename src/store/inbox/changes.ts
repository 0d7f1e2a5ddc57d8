import { newOrderedId } from '../../platform/uuid.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { IS_CAPTURED } from './search.ts';

/** What is known of a message that something happened to of late. */
export interface Touched {
  readonly id: string;
  /** Changes with all that happens to it. */
  readonly state: string;
}

/** Rows become visible in another order than they are dated, and an endpoint may answer later than this: then nobody is told. */
const LOOK_BACK = 120_000;
/** Messages that one look tells of. */
const MOST = 2_000;

/**
 * What happened of late is found along the primary keys of ids that begin with the time, and by the few claims that there are. $1 an id
 * of then, $2 messages at most, $3 whether only those that go to nobody.
 */
const TOUCHED = `
  with touched as (
    (select id from emails where id > $1::uuid order by id desc limit $2)
    union
    (select email_id from (select email_id from email_events where id > $1::uuid order by id desc limit $2) v
      where email_id is not null)
    union
    (select email_id from smtp_relay_claims limit $2)
    union
    (select email_id from (select email_id, ended_at from smtp_relay_attempts order by id desc limit $2) a
      where ended_at > now() - interval '${LOOK_BACK} milliseconds')
  )
  select t.id, concat_ws(' ', e.status, c.state,
           (select count(*) from email_events where email_id = t.id),
           (select count(*) from smtp_relay_attempts where email_id = t.id),
           (select concat('arrived ', published_at) from smtp_relay_arrivals where email_id = t.id),
           (select string_agg(concat(d.status, d.attempt), ' ' order by d.id)
              from email_events v join webhook_deliveries d on d.event_id = v.id where v.email_id = t.id)) as state
    from touched t join emails e on e.id = t.id left join smtp_relay_claims c on c.email_id = t.id
   where not $3 or ${IS_CAPTURED}`;

/** The messages that something happened to in the last minutes. */
export async function findTouched(db: Queryable, onlyCaptured: boolean): Promise<readonly Touched[]> {
  const then = newOrderedId(Date.now() - LOOK_BACK);
  return (await db.query<Touched>(TOUCHED, [then, MOST, onlyCaptured])).rows;
}

import type { Queryable } from '../../postgres/pool.ts';

/**
 * What is left for an endpoint that was disabled, here or by its owner, is kept until it is enabled. Some at a time. The lock on
 * the endpoint makes whoever enables it just now wait, and find these among the parked.
 */
const PARK = `
  update webhook_deliveries set status = 'parked', next_retry_at = null
   where id in (select d.id
                  from webhooks w
                 cross join lateral (select id from webhook_deliveries
                                      where webhook_id = w.id and status in ('pending', 'failed')
                                      limit $1 for update skip locked) d
                 where w.status = 'disabled'
                 limit $1 for share of w)`;

/** With the tries that each has left. $1: the endpoint. */
const RESUME = `
  update webhook_deliveries
     set status = case when coalesce(attempt, 0) = 0 then 'pending' else 'failed' end, next_retry_at = now()
   where id in (select id from webhook_deliveries where webhook_id = $1 and status = 'parked' limit $2 for update skip locked)`;

const RESUMED_AT_ONCE = 5_000;

/** Parks what is left for disabled endpoints. @returns how many, at most `limit`: then there may be more */
export async function parkDisabled(db: Queryable, limit: number): Promise<number> {
  return (await db.query(PARK, [limit])).rowCount ?? 0;
}

/** Makes due at once what was parked for an endpoint that is active again. @returns how many */
export async function resumeParked(db: Queryable, webhookId: string): Promise<number> {
  let resumed = 0;
  for (;;) {
    const { rowCount } = await db.query(RESUME, [webhookId, RESUMED_AT_ONCE]);
    resumed += rowCount ?? 0;
    if ((rowCount ?? 0) < RESUMED_AT_ONCE) return resumed;
  }
}

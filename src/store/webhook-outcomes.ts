import type { Queryable } from './pool.ts';
import { insertDueDeliveries } from './webhook-deliveries.ts';
import type { LeasedDelivery } from './webhook-leases.ts';

/** What came of one try. */
export interface DeliveryOutcome {
  readonly delivery: Pick<LeasedDelivery, 'id' | 'leasedUntil' | 'webhookId'>;
  readonly status: 'success' | 'failed' | 'dead_letter';
  readonly statusCode: number | null;
  /** The beginning of the answer, or why there was none. */
  readonly text: string;
  readonly attemptedAt: Date;
  /** Milliseconds until the next try; null where there is none. */
  readonly pause: number | null;
  /** Whether the endpoint is to blame for a failure, so that it counts towards its being disabled. */
  readonly blamed: boolean;
  /** The endpoint asks for no more (410 Gone). */
  readonly gone: boolean;
}

/**
 * Only whoever holds the lease writes. One success clears an endpoint's name. The answer is the endpoints that are to be
 * disabled now.
 */
const RECORD = `
  with outcome as (
    select * from unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[],
                         $7::float8[], $8::boolean[], $9::boolean[])
      as o (id, leased_until, status, status_code, response_body, attempted_at, pause, blamed, gone)
  ), written as (
    update webhook_deliveries d
       set attempt = coalesce(d.attempt, 0) + 1, status = o.status, status_code = o.status_code,
           response_body = o.response_body, attempted_at = o.attempted_at,
           next_retry_at = now() + make_interval(secs => o.pause)
      from outcome o
     where d.id = o.id and d.next_retry_at = o.leased_until and d.status in ('pending', 'failed')
    returning d.webhook_id, o.status, o.attempted_at, o.blamed, o.gone
  ), endpoint as (
    select webhook_id, bool_or(status = 'success') as succeeded, bool_or(blamed) as blamed, bool_or(gone) as gone,
           min(attempted_at) as since
      from written group by webhook_id
  ), healed as (
    update smtp_relay_webhooks set failing_since = null
     where failing_since is not null and webhook_id in (select webhook_id from endpoint where succeeded)
  ), failing as (
    insert into smtp_relay_webhooks (webhook_id, failing_since)
    select webhook_id, since from endpoint
     where blamed and not succeeded
       and not exists (select from smtp_relay_webhooks s
                        where s.webhook_id = endpoint.webhook_id and s.failing_since is not null)
     order by webhook_id
    on conflict (webhook_id) do update
      set failing_since = coalesce(smtp_relay_webhooks.failing_since, excluded.failing_since)
  )
  select e.webhook_id as id
    from endpoint e left join smtp_relay_webhooks s on s.webhook_id = e.webhook_id
   where e.gone or (e.blamed and not e.succeeded and s.failing_since <= now() - make_interval(secs => $10))`;

/** The event goes to the owner's other endpoints. That this one is still active in the statement's snapshot must not count. */
const DISABLE = `
  with disabled as (
    update webhooks set status = 'disabled' where id = $1 and status = 'active' returning id, url, user_id
  ), noted as (
    insert into smtp_relay_webhooks (webhook_id, disabled_at) select id, now() from disabled
    on conflict (webhook_id) do update set disabled_at = now()
    returning failing_since
  ), new_events as (
    insert into email_events (id, type, payload, user_id, received_at)
    select gen_random_uuid(), 'webhook_disabled',
           jsonb_build_object('webhook_id', d.id, 'url', d.url, 'failing_since', n.failing_since,
                              'last_status_code', $2::integer, 'last_error', $3::text),
           d.user_id, now()
      from disabled d, noted n
    returning id, type, user_id
  ), due as (${insertDueDeliveries('w.id <> $1')})
  select url from disabled`;

/** What is left for an endpoint that was disabled, here or by its owner, will not be tried. Some at a time. */
const DEAD_LETTER_DISABLED = `
  update webhook_deliveries set status = 'dead_letter', next_retry_at = null
   where id in (select d.id
                  from webhooks w
                 cross join lateral (select id from webhook_deliveries
                                      where webhook_id = w.id and status in ('pending', 'failed')
                                      limit $1 for update skip locked) d
                 where w.status = 'disabled'
                 limit $1)`;

/**
 * Writes what came of tries, in one statement.
 *
 * @param disableAfter milliseconds that an endpoint may fail without one success
 * @returns the ids of endpoints that are to be disabled (`disableWebhook`)
 */
export async function recordOutcomes(
  db: Queryable,
  outcomes: readonly DeliveryOutcome[],
  disableAfter: number,
): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(RECORD, [
    outcomes.map(({ delivery }) => delivery.id),
    outcomes.map(({ delivery }) => delivery.leasedUntil),
    outcomes.map(({ status }) => status),
    outcomes.map(({ statusCode }) => statusCode),
    outcomes.map(({ text }) => text),
    outcomes.map(({ attemptedAt }) => attemptedAt),
    outcomes.map(({ pause }) => pause && pause / 1000),
    outcomes.map(({ blamed }) => blamed),
    outcomes.map(({ gone }) => gone),
    disableAfter / 1000,
  ]);
  return rows.map(({ id }) => id);
}

/**
 * Disables an active endpoint, with an event that the owner's other endpoints hear of.
 *
 * @param last how its last try ended
 * @returns whether it was active until now
 */
export async function disableWebhook(
  db: Queryable,
  webhookId: string,
  last: Pick<DeliveryOutcome, 'statusCode' | 'text'> | undefined,
): Promise<boolean> {
  const { rowCount } = await db.query(DISABLE, [webhookId, last?.statusCode ?? null, last?.text.slice(0, 500) ?? null]);
  return rowCount === 1;
}

/** Dead-letters what is left for disabled endpoints. @returns how many, at most `limit`: then there may be more */
export async function deadLetterDisabled(db: Queryable, limit: number): Promise<number> {
  return (await db.query(DEAD_LETTER_DISABLED, [limit])).rowCount ?? 0;
}

import type { Queryable } from '../../postgres/pool.ts';
import { insertDueDeliveries } from './deliveries.ts';
import type { LeasedDelivery } from './leases.ts';

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

/** How many occasions of failing it takes; one is noted where the last one is a while ago (a part of `disableAfter`). */
const OCCASIONS = 3;
const OCCASION_SHARE = 1 / 20;
/** After so much of `disableAfter` without a failure, one more begins anew: who is hardly ever called has hardly failed. */
const QUIET_SHARE = 1 / 2;

/**
 * Only whoever holds the lease writes. One success clears an endpoint's name; failures close to each other are one occasion. By
 * the database's clock. The answer is the endpoints that are to be disabled now.
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
    returning d.webhook_id, o.status, o.blamed, o.gone
  ), endpoint as (
    select webhook_id, bool_or(status = 'success') as succeeded, bool_or(blamed) as blamed, bool_or(gone) as gone
      from written group by webhook_id
  ), healed as (
    update smtp_relay_webhooks set failing_since = null, failed_at = null, occasions = 0
     where failing_since is not null and webhook_id in (select webhook_id from endpoint where succeeded)
  ), failed as (
    select e.webhook_id, s.failing_since, s.occasions,
           s.failing_since is null or s.failed_at is null
             or s.failed_at < now() - make_interval(secs => $10::float8 * ${QUIET_SHARE}) as anew,
           s.failed_at <= now() - make_interval(secs => $10::float8 * ${OCCASION_SHARE}) as another
      from endpoint e left join smtp_relay_webhooks s on s.webhook_id = e.webhook_id
     where e.blamed and not e.succeeded
  ), failing as (
    insert into smtp_relay_webhooks as s (webhook_id, failing_since, failed_at, occasions)
    select webhook_id, case when anew then now() else failing_since end, now(), case when anew then 1 else occasions + 1 end
      from failed where anew or another order by webhook_id
    on conflict (webhook_id) do update
      set failing_since = excluded.failing_since, failed_at = excluded.failed_at, occasions = excluded.occasions
  )
  select webhook_id as id from endpoint where gone
  union
  select webhook_id from failed
   where not anew and failing_since <= now() - make_interval(secs => $10::float8) and occasions + another::integer >= ${OCCASIONS}`;

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

import type { Queryable } from '../../postgres/pool.ts';
import { eventNameOf } from '../event-types.ts';

/** SQL: an id as `newOrderedId` makes it, for the same reason. */
const NEW_ID = `(lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') ||
                 substr(gen_random_uuid()::text, 14))::uuid`;

/**
 * SQL: makes a delivery due at once for every active endpoint of the event's owner that asked for the event. It reads
 * the events from `new_events (id, type, user_id)`, which the statement around it has to name:
 *
 *     with new_events as (insert into email_events … returning id, type, user_id),
 *          due as (${INSERT_DUE_DELIVERIES})
 *     select …
 *
 * so that an event and its deliveries are one commit. It takes no parameters. Whoever has committed it wakes the
 * dispatcher (`Dispatcher.wake`).
 */
export const INSERT_DUE_DELIVERIES = insertDueDeliveries('true');

/**
 * The same for some endpoints only.
 *
 * @param condition SQL about `w`, the row of `webhooks`
 */
export function insertDueDeliveries(condition: string): string {
  // The lock is the one that the foreign key takes anyway. Taken here, an endpoint that is deleted at this very moment is
  // left out instead of failing the statement.
  return `
  insert into webhook_deliveries (id, webhook_id, event_id, attempt, status, next_retry_at, created_at)
  select ${NEW_ID}, w.id, e.id, 0, 'pending', now(), now()
    from new_events e
    join webhooks w on w.user_id = e.user_id and w.status = 'active' and w.event_types ?| array[${eventNameOf('e')}, '*']
   where ${condition}
     for key share of w`;
}

/** A delivery as a list shows it. */
export interface DeliverySummary {
  readonly id: string;
  readonly webhookId: string;
  readonly url: string | null;
  readonly owner: string | null;
  readonly eventId: string | null;
  /** Such as `email.bounced`. */
  readonly event: string | null;
  readonly emailId: string | null;
  /** `pending`, `success`, `failed` (it is tried again), `dead_letter`, or `parked` (when its endpoint is enabled). */
  readonly status: string | null;
  /** Tries so far. */
  readonly attempts: number;
  readonly statusCode: number | null;
  /** The beginning of the last answer, or why there was none. */
  readonly answer: string | null;
  readonly attemptedAt: Date | null;
  readonly nextTryAt: Date | null;
  readonly createdAt: Date;
}

export interface DeliveryFilter {
  readonly webhook?: string | undefined;
  readonly owner?: string | undefined;
  readonly email?: string | undefined;
  readonly status?: string | undefined;
  readonly since?: Date | undefined;
  readonly limit: number;
}

/** Which deliveries to try anew; all that is given has to fit. */
export interface ReplayFilter {
  readonly ids?: readonly string[] | undefined;
  readonly webhook?: string | undefined;
  readonly owner?: string | undefined;
  /** Only what was made at or after this time. */
  readonly since?: Date | undefined;
}

export interface Backlog {
  /** Deliveries that are due and that nobody tries just now; counted up to a hundred thousand. */
  readonly due: number;
  /** Seconds for which the first of them has been due. */
  readonly oldestSeconds: number;
}

const LIST = `
  select d.id, d.webhook_id as "webhookId", w.url, w.user_id as owner, d.event_id as "eventId",
         case when e.id is not null then ${eventNameOf('e')} end as event, e.email_id as "emailId", d.status,
         coalesce(d.attempt, 0) as attempts, d.status_code as "statusCode", d.response_body as answer,
         d.attempted_at as "attemptedAt", d.next_retry_at as "nextTryAt", d.created_at as "createdAt"
    from webhook_deliveries d
    left join webhooks w on w.id = d.webhook_id
    left join email_events e on e.id = d.event_id
   where ($1::uuid is null or d.webhook_id = $1)
     and ($2::text is null or w.user_id = $2)
     and ($3::uuid is null or e.email_id = $3)
     and ($4::text is null or d.status = $4)
     and ($5::timestamptz is null or d.created_at >= $5)
   order by d.created_at desc, d.id desc
   limit $6`;

/** Some at a time, so that no statement is long. Endpoints that are not active would not get them. */
const REPLAY = `
  update webhook_deliveries set status = 'pending', attempt = 0, next_retry_at = now()
   where id in (select d.id
                  from webhook_deliveries d join webhooks w on w.id = d.webhook_id and w.status = 'active'
                 where d.status in ('dead_letter', 'failed', 'parked')
                   and ($1::uuid[] is null or d.id = any($1))
                   and ($2::uuid is null or d.webhook_id = $2)
                   and ($3::text is null or w.user_id = $3)
                   and ($4::timestamptz is null or d.created_at >= $4)
                 limit $5 for update of d skip locked)`;

const BACKLOG = `
  select count(*)::integer as due,
         coalesce(greatest(0, extract(epoch from now() - min(next_retry_at))), 0)::float8 as "oldestSeconds"
    from (select d.next_retry_at
            from webhook_deliveries d join webhooks w on w.id = d.webhook_id and w.status = 'active'
           where d.status in ('pending', 'failed') and d.next_retry_at <= now()
           order by d.next_retry_at limit 100000) due`;

const REPLAYED_AT_ONCE = 5_000;

/** Deliveries, newest first. Ids have to be UUIDs. */
export async function listDeliveries(db: Queryable, filter: DeliveryFilter): Promise<DeliverySummary[]> {
  const { webhook = null, owner = null, email = null, status = null, since = null, limit } = filter;
  return (await db.query<DeliverySummary>(LIST, [webhook, owner, email, status, since, limit])).rows;
}

/**
 * Makes deliveries that failed due again, with all their tries before them. Ids have to be UUIDs.
 *
 * @returns how many
 */
export async function replayDeliveries(db: Queryable, filter: ReplayFilter): Promise<number> {
  const { ids = null, webhook = null, owner = null, since = null } = filter;
  let replayed = 0;
  for (;;) {
    const { rowCount } = await db.query(REPLAY, [ids, webhook, owner, since, REPLAYED_AT_ONCE]);
    replayed += rowCount ?? 0;
    if ((rowCount ?? 0) < REPLAYED_AT_ONCE) return replayed;
  }
}

/** How far deliveries are behind. */
export async function readBacklog(db: Queryable): Promise<Backlog> {
  return (await db.query<Backlog>(BACKLOG)).rows[0] ?? { due: 0, oldestSeconds: 0 };
}

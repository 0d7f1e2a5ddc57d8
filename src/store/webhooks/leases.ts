import type { Queryable } from '../../postgres/pool.ts';

/** A delivery that is ours to try until its lease ends, with all that a try needs. */
export interface LeasedDelivery {
  readonly id: string;
  readonly webhookId: string;
  /** Tries before this one. */
  readonly attempts: number;
  /** The lease's end on the database's clock. It is the fence too: an outcome counts only while it stands in the row. */
  readonly leasedUntil: Date;
  readonly url: string;
  /** `webhooks.signing_secret_enc`. */
  readonly secret: string | null;
  /** The secret before the last rotation, while both are in use. */
  readonly previousSecret: string | null;
  /** Null where the event was deleted since. */
  readonly event: DeliveredEvent | null;
}

export interface DeliveredEvent {
  readonly id: string;
  /** `email_events.type`, such as `bounced`. */
  readonly type: string;
  readonly receivedAt: Date;
  /** `email_events.payload` as Postgres writes it: the same text at each try. */
  readonly payload: string;
  /** Of the message that it is about; null where that is not known. */
  readonly traceparent: string | null;
}

/** How many deliveries of one endpoint may be leased; it overrides what holds for all others. */
export interface Room {
  readonly webhookId: string;
  readonly room: number;
}

export interface LeaseRequest {
  readonly rooms: readonly Room[];
  /** For endpoints that `rooms` does not name. */
  readonly room: number;
  /** At most so many in all. */
  readonly limit: number;
  /** Milliseconds. */
  readonly leaseTime: number;
}

/** So many of the deliveries that have been due the longest, and the shortest, tell which endpoints have something due. */
const LOOKED_AT = 500;
/** Where there are more, the endpoints themselves are gone through, so many from a place left to chance, and from the first. */
const STEPS = 500;

const OPEN = `status in ('pending', 'failed')`;

/** SQL: endpoints one after the other that have deliveries that are not done, each with the first time that one is due. */
function walk(name: string, from: string): string {
  const next = (behind: string) => `
    select webhook_id, next_retry_at from webhook_deliveries
     where webhook_id > ${behind} and ${OPEN} order by webhook_id, next_retry_at limit 1`;
  return `
  ${name} (webhook_id, next_retry_at, step) as (
    select n.*, 1 from (${next(from)}) n where exists (select from longest group by status having count(*) = ${LOOKED_AT})
    union all
    select n.*, ${name}.step + 1 from ${name} cross join lateral (${next(`${name}.webhook_id`)}) n
     where ${name}.step < ${STEPS}
  )`;
}

/** SQL: those that have been due the longest, or the shortest. */
function dueFrom(direction: 'asc' | 'desc'): string {
  const some = (status: string) => `
    (select webhook_id, status from webhook_deliveries where status = '${status}' and next_retry_at <= now()
      order by next_retry_at ${direction} limit ${LOOKED_AT})`;
  return `${some('pending')} union all ${some('failed')}`;
}

/**
 * Begins with what is due, so that endpoints that have nothing cost nothing, however many they are. Each endpoint that is found
 * is then asked for its own, so that one with a million of them is no longer a look than any other. Where one of them fills
 * both ends of what is due, the walk finds the others.
 *
 * The order of endpoints is left to chance, so that none is always last where `limit` cuts off. The lease is the time of
 * the next try, so that whatever a killed process held is due again by itself.
 */
const LEASE_DUE = `
  with recursive longest as materialized (${dueFrom('asc')}
  ), latest as materialized (${dueFrom('desc')}
  ), ${walk('onward', '(select gen_random_uuid())')}, ${walk('anew', "'00000000-0000-0000-0000-000000000000'::uuid")}, found as (
    select webhook_id from longest
    union select webhook_id from latest
    union select webhook_id from onward where next_retry_at <= now()
    union select webhook_id from anew where next_retry_at <= now()
  ), due as materialized (
    select d.id, d.next_retry_at
      from (select found.webhook_id as id, coalesce(asked.room, $3) as room
              from found left join unnest($1::uuid[], $2::integer[]) as asked (id, room) on asked.id = found.webhook_id
             where (select status from webhooks where id = found.webhook_id) = 'active'
             order by random()) w
     cross join lateral (
           select id, next_retry_at from webhook_deliveries
            where webhook_id = w.id and ${OPEN} and next_retry_at <= now()
            order by next_retry_at limit w.room for update skip locked) d
     limit $4
  ), leased as (
    update webhook_deliveries d
       set next_retry_at = date_trunc('milliseconds', now()) + make_interval(secs => $5)
     where id = any (array(select id from due))
    returning d.id, d.webhook_id, d.event_id, d.attempt, d.next_retry_at,
              (select due.next_retry_at from due where due.id = d.id) as due_at
  )
  select l.id, l.webhook_id as "webhookId", coalesce(l.attempt, 0) as attempts, l.next_retry_at as "leasedUntil",
         w.url, w.signing_secret_enc as secret,
         case when s.previous_until > now() then s.previous_secret_enc end as "previousSecret",
         e.id as "eventId", e.type, e.received_at as "receivedAt", e.payload::text as payload, m.traceparent
    from leased l
    join webhooks w on w.id = l.webhook_id
    left join smtp_relay_webhooks s on s.webhook_id = l.webhook_id
    left join email_events e on e.id = l.event_id
    left join smtp_relay_messages m on m.email_id = e.email_id
   order by l.due_at`;

/** Gives back what was not tried, for others to take at once. */
const RELEASE = `
  update webhook_deliveries d set next_retry_at = now()
    from unnest($1::uuid[], $2::timestamptz[]) as held (id, leased_until)
   where d.id = held.id and d.next_retry_at = held.leased_until and d.status in ('pending', 'failed')`;

interface Row extends Omit<LeasedDelivery, 'event'>, Omit<DeliveredEvent, 'id'> {
  readonly eventId: string | null;
}

/** Takes due deliveries of active endpoints, the longest due of each first. Concurrent callers get different ones. */
export async function leaseDeliveries(db: Queryable, request: LeaseRequest): Promise<LeasedDelivery[]> {
  const { rooms, room, limit, leaseTime } = request;
  const { rows } = await db.query<Row>(LEASE_DUE, [
    rooms.map(({ webhookId }) => webhookId),
    rooms.map(entry => entry.room),
    room,
    limit,
    leaseTime / 1000,
  ]);
  return rows.map(({ eventId, type, receivedAt, payload, traceparent, ...delivery }) => ({
    ...delivery,
    event: eventId === null ? null : { id: eventId, type, receivedAt, payload, traceparent },
  }));
}

/** Ends leases early, without a try. */
export async function releaseDeliveries(
  db: Queryable,
  deliveries: readonly Pick<LeasedDelivery, 'id' | 'leasedUntil'>[],
): Promise<void> {
  if (deliveries.length === 0) return;
  await db.query(RELEASE, [deliveries.map(({ id }) => id), deliveries.map(({ leasedUntil }) => leasedUntil)]);
}

import type { Queryable } from '../../postgres/pool.ts';
import { isOpen, type Sweep, sweepByTime, TOLD } from './sweep.ts';

/** Owners with an event that is old enough. The index on (user_id, received_at) is probed twice an owner. $1 age in seconds. */
const OWNERS = `
  with recursive owner (id) as (
    (select user_id from email_events where user_id is not null order by user_id limit 1)
    union all
    select (select user_id from email_events where user_id > owner.id order by user_id limit 1)
      from owner where owner.id is not null
  ), every as (select id from owner where id is not null union all select null)
  select id from every
   where (select received_at from email_events where user_id = every.id order by received_at limit 1)
         < now() - make_interval(secs => $1)
      or (id is null and exists (select from email_events
                                  where user_id is null and received_at < now() - make_interval(secs => $1)))`;

/**
 * $1 to $4 as `sweepByTime` has them, $5 the owner where there is one. Deliveries go first by our own hand: only where this
 * program made the tables do they go by themselves. One that is still to be made keeps its event.
 */
const events = (owner: string): string => `
  with batch as materialized (
    select id, email_id, received_at from email_events
     where ${owner} and received_at < now() - make_interval(secs => $1)
       and (received_at, id) > ($2::timestamptz, $3::uuid)
     order by received_at, id limit $4
  ), free as materialized (
    select id from batch
     where not ${isOpen('batch.email_id')}
       and not exists (select from webhook_deliveries d
                        where d.event_id = batch.id and d.status not in ${TOLD} offset 0)
  ), delivered as (
    delete from webhook_deliveries where event_id = any (array(select id from free))
  ), removed as (
    delete from email_events where id = any (array(select id from free)) returning 1
  )
  select (select count(*)::integer from removed) as removed, received_at::text as at, id,
         (select count(*)::integer from batch) as examined
    from batch order by received_at desc, id desc limit 1`;

const EVENTS = { owned: events('user_id = $5'), unowned: events('user_id is null') };

/**
 * Attempts are part of a message's story, as events are, and tell `emails resend` who has had it: they go with the events,
 * but not before the message itself. Their ids grow with time. $1 age in seconds, $2 the id to go on behind, $3 rows.
 */
const ATTEMPTS = `
  with batch as materialized (
    select id, email_id, ended_at < now() - make_interval(secs => $1) as old from smtp_relay_attempts
     where id > $2::bigint order by id limit $3
  ), removed as (
    delete from smtp_relay_attempts
     where id = any (array(
             select id from batch
              where old and not ${isOpen('batch.email_id')}
                and not exists (select from smtp_relay_messages m where m.email_id = batch.email_id offset 0)))
    returning 1
  )
  select (select count(*)::integer from removed) as removed, max(id)::text as id, coalesce(bool_or(old), false) as old
    from batch`;

const DELIVERY_BLOCKS = `
  select ceil(pg_relation_size('webhook_deliveries') / current_setting('block_size')::numeric)::integer as blocks`;

/** About this many deliveries are in one block. */
const DELIVERIES_A_BLOCK = 50;

/**
 * No index leads to old deliveries, and one of our own would cost each new one. So the table is read from end to end, a
 * stretch of blocks at a time. $1 age in seconds, $2 first block, $3 the one behind the last.
 */
const DELIVERIES = `
  with free as materialized (
    select ctid from webhook_deliveries d
     where ctid >= $2::tid and ctid < $3::tid
       and status in ${TOLD} and coalesce(attempted_at, created_at) < now() - make_interval(secs => $1)
       and not ${isOpen('(select v.email_id from email_events v where v.id = d.event_id)')}
       for update skip locked
  ), removed as (
    delete from webhook_deliveries where ctid = any (array(select ctid from free)) returning 1
  )
  select count(*)::integer as removed from removed`;

/** Deletes events, and with them what was delivered of them. */
export async function sweepEvents(db: Queryable, seconds: number): Promise<Sweep> {
  const { rows } = await db.query<{ id: string | null }>(OWNERS, [seconds]);
  const sweeps = rows.map(({ id }) =>
    id === null ? sweepByTime(db, EVENTS.unowned, seconds) : sweepByTime(db, EVENTS.owned, seconds, { values: [id] }),
  );
  return {
    async next(limit) {
      const [sweep] = sweeps;
      if (!sweep) return { removed: 0, finished: true };
      const step = await sweep.next(limit);
      if (step.finished) sweeps.shift();
      return { removed: step.removed, finished: sweeps.length === 0 };
    },
  };
}

/** Deletes attempts. */
export function sweepAttempts(db: Queryable, seconds: number): Sweep {
  let after = '0';
  return {
    async next(limit) {
      const { rows } = await db.query<{ removed: number; id: string | null; old: boolean }>(ATTEMPTS, [
        seconds,
        after,
        limit,
      ]);
      const { removed = 0, id = null, old = false } = rows[0] ?? {};
      if (id !== null) after = id;
      return { removed, finished: !old };
    },
  };
}

/** Deletes webhook deliveries that succeeded, were given up, or wait for an endpoint that nobody has enabled. */
export async function sweepDeliveries(db: Queryable, seconds: number): Promise<Sweep> {
  const { rows } = await db.query<{ blocks: number }>(DELIVERY_BLOCKS);
  const end = rows[0]?.blocks ?? 0;
  let block = 0;
  return {
    async next(limit) {
      if (block >= end) return { removed: 0, finished: true };
      const to = Math.min(end, block + Math.max(1, Math.floor(limit / DELIVERIES_A_BLOCK)));
      const step = await db.query<{ removed: number }>(DELIVERIES, [seconds, `(${block},0)`, `(${to},0)`]);
      block = to;
      return { removed: step.rows[0]?.removed ?? 0, finished: block >= end };
    },
  };
}

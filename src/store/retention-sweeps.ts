import type { Queryable } from './pool.ts';

/** One walk over what may be old enough, a batch at a time. */
export interface Sweep {
  /** Handles at most about `limit` rows, by one statement. The next call goes on behind them. */
  next(limit: number): Promise<{ readonly removed: number; readonly finished: boolean }>;
  /** Remembers how far it came, where the next sweep need not begin anew. */
  close?(): Promise<void>;
}

/**
 * SQL: whether a message may still be sent. Here and below, rows are looked up one by one by their key: a join would be
 * quicker at times, but at other times the planner would read a whole table for it (`offset 0` keeps it from making one).
 */
function isOpen(emailId: string): string {
  return `exists (select from emails e where e.id = ${emailId} and e.status in ${OPEN} offset 0)`;
}

const OPEN = `('queued', 'processing', 'scheduled')`;

/** Where a walk in the order of (time, id) begins. Times stay text: a `Date` would lose their microseconds. */
const BEGINNING = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' } as const;

/** The most bytes of messages that one statement deletes: their pieces in TOAST are rows, too. */
const RAW_BYTES = 32 * 1024 * 1024;

/** $1 age in seconds, $2 and $3 the row to go on behind, $4 rows. */
const RAW = `
  with candidate as (
    select email_id, created_at, size_bytes from smtp_relay_messages
     where created_at < now() - make_interval(secs => $1) and (created_at, email_id) > ($2::timestamptz, $3::uuid)
     order by created_at, email_id limit $4
  ), batch as materialized (
    select email_id, created_at
      from (select *, sum(size_bytes) over (order by created_at, email_id) - size_bytes as before from candidate) c
     where before < ${RAW_BYTES}
  ), removed as (
    delete from smtp_relay_messages
     where email_id = any (array(select email_id from batch where not ${isOpen('batch.email_id')}))
    returning 1
  )
  select (select count(*)::integer from removed) as removed, created_at::text as at, email_id as id
    from batch order by created_at desc, email_id desc limit 1`;

/**
 * The same of `emails`. The rows stay, so a sweep begins where the last one ended; `pending` is the oldest one that it has
 * to come back to, because the message was not done or somebody held its row just then.
 */
const BODIES = `
  with batch as materialized (
    select id, created_at, (html is not null or text is not null or attachments is not null) as full from emails
     where created_at < now() - make_interval(secs => $1) and (created_at, id) > ($2::timestamptz, $3::uuid)
     order by created_at, id limit $4
  ), free as materialized (
    select id from emails
     where id = any (array(select id from batch where batch.full)) and status not in ${OPEN}
       for no key update skip locked
  ), removed as (
    update emails set html = null, text = null, attachments = null where id = any (array(select id from free)) returning id
  )
  select (select count(*)::integer from removed) as removed, created_at::text as at, id,
         (select min(created_at)::text from batch where batch.full and batch.id not in (select id from removed)) as pending,
         (select count(*)::integer from batch) as examined
    from batch order by created_at desc, id desc limit 1`;

const READ_MARK = 'select value from smtp_relay_settings where key = $1';

const WRITE_MARK = `
  insert into smtp_relay_settings (key, value) values ($1, $2)
  on conflict (key) do update set value = excluded.value, updated_at = now()`;

const BODIES_MARK = 'retention.bodies';

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
 * $1 to $4 as above, $5 the owner where there is one. Deliveries go first by our own hand: only where this program made the
 * tables do they go by themselves. One that is still to be made keeps its event.
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
                        where d.event_id = batch.id and d.status not in ('success', 'dead_letter') offset 0)
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
       and status in ('success', 'dead_letter') and coalesce(attempted_at, created_at) < now() - make_interval(secs => $1)
       and not ${isOpen('(select v.email_id from email_events v where v.id = d.event_id)')}
       for update skip locked
  ), removed as (
    delete from webhook_deliveries where ctid = any (array(select ctid from free)) returning 1
  )
  select count(*)::integer as removed from removed`;

interface Step {
  readonly removed: number;
  readonly at: string;
  readonly id: string;
  readonly pending?: string | null;
  /** Rows looked at, where fewer than asked for say that it was the last of them. */
  readonly examined?: number;
}

/** Deletes the messages as they were received. */
export function sweepRaw(db: Queryable, seconds: number): Sweep {
  return sweepByTime(db, RAW, seconds);
}

/** Empties the bodies of messages; the rest of their rows stays. */
export async function sweepBodies(db: Queryable, seconds: number): Promise<Sweep> {
  const { rows } = await db.query<{ value: string }>(READ_MARK, [BODIES_MARK]);
  let mark = rows[0]?.value ?? BEGINNING.at;
  let pending: string | null = null;
  const sweep = sweepByTime(db, BODIES, seconds, {
    from: mark,
    onStep: step => {
      pending ??= step.pending ?? null;
      mark = pending ?? step.at;
    },
  });
  return {
    next: limit => sweep.next(limit),
    close: async () => void (await db.query(WRITE_MARK, [BODIES_MARK, mark])),
  };
}

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

/** Deletes webhook deliveries that succeeded or were given up. */
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

interface ByTimeOptions {
  readonly from?: string;
  /** Parameters of the statement behind the first four. */
  readonly values?: readonly unknown[];
  readonly onStep?: (step: Step) => void;
}

function sweepByTime(db: Queryable, statement: string, seconds: number, options: ByTimeOptions = {}): Sweep {
  let { at, id }: { at: string; id: string } = { ...BEGINNING, at: options.from ?? BEGINNING.at };
  return {
    async next(limit) {
      const values = [seconds, at, id, limit, ...(options.values ?? [])];
      const [step] = (await db.query<Step>(statement, values)).rows;
      if (!step) return { removed: 0, finished: true };
      ({ at, id } = step);
      options.onStep?.(step);
      return { removed: step.removed, finished: step.examined !== undefined && step.examined < limit };
    },
  };
}

import type pg from 'pg';
import { Batcher } from '../../flow/batcher.ts';
import type { OutboxJob } from '../../message/send-job.ts';

/** How much waits, of all owners. */
export interface OutboxBacklog {
  /** Entries that are due, whether somebody is publishing them or not; counted up to a hundred thousand. */
  readonly due: number;
  /** Next tries whose time has not come; counted likewise. */
  readonly later: number;
  /** Seconds for which the first of those that are due has been; 0 where none is. */
  readonly oldestSeconds: number;
}

/** Names an entry. */
export type OutboxKey = Pick<OutboxJob, 'emailId' | 'try'>;

const LEASE_DUE = `
  update smtp_relay_outbox set leased_until = now() + make_interval(secs => $2)
   where id = any (array(select id from smtp_relay_outbox
                          where due_at <= now() and (leased_until is null or leased_until < now())
                          order by due_at limit $1 for update skip locked))
  returning email_id as "emailId", user_id as "userId", try, correlation_id as "correlationId", traceparent,
            requested_at as "requestedAt"`;

/** Visited in one statement at most: each costs one descent of the index. */
const MAX_OWNERS = 500;

/**
 * $1 limit, $2 lease in seconds, $3 the owner after whom to begin, $4 owners who are left out. Owners are visited in the order of their ids by a loose
 * scan of the index, which reads the first entry of each, so its cost does not depend on how many entries an owner has.
 * Each who has something due gets an equal share of the limit; no more rows are locked than are taken. The
 * limit inside of the share, and the range of one owner where an equation would do, are for the planner: it then knows that
 * few rows are wanted, and that only this index has them in order. Answers with at least one row: `next` is the owner after
 * whom to go on, null where there are no more.
 */
const TAKE_IN_TURN = `
  with recursive visited as (
    (select 1 as place, coalesce(user_id, '') collate "C" as owner, due_at from smtp_relay_outbox
      where $3::text is null or coalesce(user_id, '') collate "C" > $3
      order by coalesce(user_id, '') collate "C", due_at limit 1)
    union all
    select visited.place + 1, further.owner, further.due_at
      from visited cross join lateral (
             select coalesce(user_id, '') collate "C" as owner, due_at from smtp_relay_outbox
              where coalesce(user_id, '') collate "C" > visited.owner
              order by coalesce(user_id, '') collate "C", due_at limit 1) as further
     where visited.place < ${MAX_OWNERS}
  ), chosen as materialized (
    select place, owner from visited where due_at <= now() and owner <> all($4::text[]) order by place limit $1
  ), share as materialized (
    select $1::bigint / greatest(count(*), 1) as each, count(*) = $1 as full from chosen
  ), taken as materialized (
    select entry.id from chosen cross join share cross join lateral (
      select id from (
        select id from smtp_relay_outbox
         where coalesce(user_id, '') collate "C" between chosen.owner and chosen.owner and due_at <= now()
           and (leased_until is null or leased_until < now())
         order by coalesce(user_id, '') collate "C", due_at limit $1 for update skip locked) as earliest
       limit share.each) as entry
  ), leased as (
    update smtp_relay_outbox set leased_until = clock_timestamp() + make_interval(secs => $2)
     where id = any (array(select id from taken))
    returning email_id as "emailId", user_id as "userId", try, correlation_id as "correlationId", traceparent,
              requested_at as "requestedAt"
  )
  select (select case when share.full then (select owner from chosen order by place desc limit 1)
                      when (select count(*) from visited) >= ${MAX_OWNERS} then (select owner from visited order by place desc limit 1)
                 end from share) as next, leased.*
    from (values (1)) as always left join leased on true`;

const RENEW = `
  update smtp_relay_outbox as entry set leased_until = clock_timestamp() + make_interval(secs => $3)
    from unnest($1::uuid[], $2::integer[]) as held (email_id, try)
   where entry.email_id = held.email_id and entry.try = held.try`;

const RELEASE = `
  update smtp_relay_outbox as entry set leased_until = null
    from unnest($1::uuid[], $2::integer[]) as held (email_id, try)
   where entry.email_id = held.email_id and entry.try = held.try`;

/** Others leave an entry alone for as long. */
const DEFER = `
  update smtp_relay_outbox as entry set leased_until = clock_timestamp() + make_interval(secs => held.seconds)
    from unnest($1::uuid[], $2::integer[], $3::float8[]) as held (email_id, try, seconds)
   where entry.email_id = held.email_id and entry.try = held.try`;

/**
 * Planned each time, and not kept: what is best for an outbox of a few entries is to read all of it, and after a minute under load it
 * has a hundred thousand dead ones. Not flushed to disk at once, so that the commit of the next message need not wait for it: what a
 * crash of the server forgets is published again, as after any crash between the two.
 */
const REMOVE = `
  with lazy as materialized (select set_config('synchronous_commit', 'off', true))
  delete from smtp_relay_outbox as entry using lazy, unnest($1::uuid[], $2::integer[]) as done (email_id, try)
   where entry.email_id = done.email_id and entry.try = done.try`;

/** An entry that was refused waits longer each time, up to a minute; its lease keeps the others away meanwhile. */
const POSTPONE = `
  update smtp_relay_outbox as entry
     set publish_attempts = publish_attempts + 1, last_error = left(failed.reason, 500),
         leased_until = now() + make_interval(secs => least(60, power(2, least(publish_attempts, 6))))
    from unnest($1::uuid[], $2::integer[], $3::text[]) as failed (email_id, try, reason)
   where entry.email_id = failed.email_id and entry.try = failed.try`;

/** Counted to a limit: after hours without a queue there may be millions. */
const BACKLOG = `
  select (select count(*)::integer
            from (select from smtp_relay_outbox where due_at <= now() order by due_at limit 100000) due) as due,
         (select count(*)::integer
            from (select from smtp_relay_outbox where due_at > now() order by due_at limit 100000) later) as later,
         coalesce((select extract(epoch from now() - due_at)::float8
                     from smtp_relay_outbox where due_at <= now() order by due_at limit 1), 0) as "oldestSeconds"`;

interface TakenRow extends OutboxJob {
  readonly next: string | null;
}

const MAX_REMOVED_AT_ONCE = 500;
/** Milliseconds; nobody waits for a removal. */
const REMOVAL_INTERVAL = 25;

/** The outbox: jobs wait here from the commit of their message until a queue has them. */
export class Outbox {
  readonly #pool: pg.Pool;
  readonly #removals: Batcher<OutboxKey, undefined>;
  /** The owner who was visited last by `takeInTurn`. */
  #lastOwner: string | null = null;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#removals = new Batcher({
      run: async keys => {
        const values = [keys.map(key => key.emailId), keys.map(key => key.try)];
        await pool.query(REMOVE, values);
        return keys.map(() => undefined);
      },
      maxItems: MAX_REMOVED_AT_ONCE,
      concurrency: 1,
      interval: REMOVAL_INTERVAL,
    });
  }

  /** Takes entries that nobody is publishing, for `leaseMs` milliseconds. Concurrent callers get different ones. */
  async leaseDue(limit: number, leaseMs: number): Promise<OutboxJob[]> {
    return (await this.#pool.query<OutboxJob>(LEASE_DUE, [limit, leaseMs / 1000])).rows;
  }

  /**
   * Takes due entries as `leaseDue` does, but of many owners rather than of the one who waits longest: each has an equal
   * share. Not always as many as there are, but none at all only where nothing is due that others do not have.
   *
   * @param leftOut owners whose entries stay where they are
   */
  async takeInTurn(limit: number, leaseMs: number, leftOut: readonly (string | null)[] = []): Promise<OutboxJob[]> {
    const others = leftOut.map(userId => userId ?? '');
    let rounds = this.#lastOwner === null ? 1 : 2;
    while (rounds > 0) {
      const { rows } = await this.#pool.query<TakenRow>(TAKE_IN_TURN, [limit, leaseMs / 1000, this.#lastOwner, others]);
      this.#lastOwner = rows[0]?.next ?? null;
      const entries = rows.filter(({ emailId }) => emailId !== null).map(({ next: _, ...entry }) => entry);
      if (entries.length > 0) return entries;
      if (this.#lastOwner === null) rounds -= 1;
    }
    return [];
  }

  /** Keeps entries for another `leaseMs` milliseconds. */
  async renew(keys: readonly OutboxKey[], leaseMs: number): Promise<void> {
    await this.#pool.query(RENEW, [keys.map(({ emailId }) => emailId), keys.map(key => key.try), leaseMs / 1000]);
  }

  /** Lets others take entries at once. */
  async release(keys: readonly OutboxKey[]): Promise<void> {
    await this.#pool.query(RELEASE, [keys.map(({ emailId }) => emailId), keys.map(key => key.try)]);
  }

  /** Lets others take entries after `afterMs` milliseconds. */
  async defer(entries: readonly (OutboxKey & { readonly afterMs: number })[]): Promise<void> {
    const keys = [entries.map(({ emailId }) => emailId), entries.map(entry => entry.try)];
    await this.#pool.query(DEFER, [...keys, entries.map(({ afterMs }) => afterMs / 1000)]);
  }

  /** Forgets published entries. */
  async remove(keys: readonly OutboxKey[]): Promise<void> {
    await Promise.all(keys.map(key => this.#removals.add(key)));
  }

  /** How much waits in the whole installation. Costs as much as what it counts. */
  async backlog(): Promise<OutboxBacklog> {
    return (await this.#pool.query<OutboxBacklog>(BACKLOG)).rows[0] ?? { due: 0, later: 0, oldestSeconds: 0 };
  }

  /** Keeps entries that the queue refused, for a later try. */
  async postpone(failures: readonly (OutboxKey & { readonly reason: string })[]): Promise<void> {
    const keys = [failures.map(({ emailId }) => emailId), failures.map(failure => failure.try)];
    await this.#pool.query(POSTPONE, [...keys, failures.map(({ reason }) => reason)]);
  }
}

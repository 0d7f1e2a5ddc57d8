import type { Queryable } from '../../postgres/pool.ts';

export interface RepublisherOptions {
  readonly db: Queryable;
  /** Milliseconds that a message may be queued before its job counts as lost; `worker.republishAfter`. */
  readonly after: number;
}

/** What one look found. */
export interface Republished {
  /** Jobs that are in the outbox again. */
  readonly jobs: number;
  /** The look ended: at the youngest message that is old enough, or since it has published enough. The next begins at the oldest. */
  readonly finished: boolean;
}

/** Jobs that one look publishes again at most, and where nobody has been seen to work: those few tell whether somebody does. */
const MOST = 1_000;
const PROBE = 50;
/** A message is lost when it is so many times as old as the oldest that is just worked on: queues keep no strict order. */
const AGES = 2;

/** Rows that one statement looks at. Very many may wait for good reasons before the one whose job is lost. */
const EXAMINED = 500;
/** Seconds; the pause between two jobs for one message doubles up to it. */
const LONGEST_PAUSE = 6 * 3600;
const BEGINNING = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' } as const;

/**
 * What is being worked on just now, or was begun within $1 seconds: whether there is anything, and how many seconds the oldest
 * first try had waited by then. Those that were published again say nothing of the queue, nor do later tries, which wait with reason.
 */
const WORKED_ON = `
  with begun as (
    select email_id, try, claimed_at as at from smtp_relay_claims where until > now() and state <> 'held'
    union all
    select email_id, try, started_at from (select * from smtp_relay_attempts order by id desc limit 1000) a
     where started_at > now() - make_interval(secs => $1)
  )
  select count(*) > 0 as working,
         coalesce(max(extract(epoch from begun.at - e.created_at)) filter (where begun.try = 0 and m.republished = 0 and m.put_off = 0), 0)::float8 as waited
    from begun join emails e on e.id = begun.email_id join smtp_relay_messages m on m.email_id = begun.email_id`;

/**
 * $1 seconds, $2 and $3 the row to go on behind. A message waits with reason where a job is in the outbox, where a worker
 * has it, where its next try is yet to come, or where the queue is so far behind. $4 seconds more that a message has to have waited,
 * $5 jobs at most.
 */
const REPUBLISH = `
  with examined as materialized (
    select id, created_at, user_id, coalesce(provider_retry_count, 0) as try,
           greatest(created_at, provider_next_retry_at) < now() - make_interval(secs => $1) as overdue,
           now() - greatest(created_at, provider_next_retry_at) as waited
      from emails
     where status = 'queued' and created_at < now() - make_interval(secs => $1)
       and (created_at, id) > ($2::timestamptz, $3::uuid)
     order by created_at, id limit ${EXAMINED}
  ), jobless as materialized (
    select id from examined
     where overdue and waited > make_interval(secs => $1 + $4)
       and not exists (select from smtp_relay_outbox o where o.email_id = examined.id offset 0)
       and not exists (select from smtp_relay_claims c where c.email_id = examined.id offset 0)
  ), lost as materialized (
    select email_id, put_off,
           coalesce(traceparent, '00-' || replace(gen_random_uuid()::text, '-', '') || '-' ||
                                 right(replace(gen_random_uuid()::text, '-', ''), 16) || '-00') as traceparent
      from smtp_relay_messages
     where email_id = any (array(select id from jobless)) and (republish_after is null or republish_after <= now())
     limit $5 for no key update skip locked
  ), counted as (
    update smtp_relay_messages
       set republished = republished + 1,
           republish_after = now() + make_interval(secs => least(${LONGEST_PAUSE}, $1 * power(2, least(republished + 1, 20))))
     where email_id = any (array(select email_id from lost))
  ), job as (
    insert into smtp_relay_outbox (email_id, user_id, try, correlation_id, traceparent)
    select id, user_id, try + put_off, split_part(traceparent, '-', 2), traceparent from lost join examined on id = email_id
    on conflict (email_id, try) do nothing
    returning 1
  )
  select (select count(*)::integer from job) as jobs, (select count(*)::integer from examined) as examined,
         created_at::text as at, id
    from examined order by created_at desc, id desc limit 1`;

/** What one look goes by. */
interface Evidence {
  /** Seconds. */
  readonly behind: number;
  jobsLeft: number;
}

/**
 * Finds messages that are queued although their job is lost, as by a purged queue, and puts a job into the outbox again. Each
 * call looks at the next stretch of what is queued, oldest first, so that a call costs little however much waits. A backlog is
 * no loss: what is worked on just now tells how far behind the queue is. So many are published by one look, and few where nobody
 * has been seen to work, since then it may be that nobody reads the queue.
 * Processes that do it at the same time do not do it twice.
 */
export class Republisher {
  readonly #options: RepublisherOptions;
  #evidence: Evidence | null = null;
  #behind: { readonly at: string; readonly id: string } = BEGINNING;

  constructor(options: RepublisherOptions) {
    this.#options = options;
  }

  /** @throws the database's error */
  async next(): Promise<Republished> {
    const { db, after } = this.#options;
    const seconds = after / 1000;
    this.#evidence ??= await this.#look(seconds);
    const { behind, jobsLeft } = this.#evidence;
    const values = [seconds, this.#behind.at, this.#behind.id, behind * AGES, jobsLeft];
    const { rows } = await db.query<{ jobs: number; examined: number; at: string; id: string }>(REPUBLISH, values);
    const [found] = rows;
    const jobs = found?.jobs ?? 0;
    this.#evidence.jobsLeft -= jobs;
    const atEnd = !found || found.examined < EXAMINED;
    if (found) this.#behind = { at: found.at, id: found.id };
    const finished = atEnd || this.#evidence.jobsLeft <= 0;
    // What was passed over for want of jobs comes again from the beginning.
    if (finished) {
      this.#evidence = null;
      this.#behind = BEGINNING;
    }
    return { jobs, finished };
  }

  async #look(seconds: number): Promise<Evidence> {
    const { rows } = await this.#options.db.query<{ working: boolean; waited: number }>(WORKED_ON, [seconds]);
    const { working = false, waited = 0 } = rows[0] ?? {};
    return { behind: waited, jobsLeft: working ? MOST : PROBE };
  }
}

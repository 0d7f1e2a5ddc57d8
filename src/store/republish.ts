import type { Queryable } from './pool.ts';

export interface RepublisherOptions {
  readonly db: Queryable;
  /** Milliseconds that a message may be queued before its job counts as lost; `worker.republishAfter`. */
  readonly after: number;
}

/** What one look found. */
export interface Republished {
  /** Jobs that are in the outbox again. */
  readonly jobs: number;
  /** The look ended at the youngest message that is old enough; the next one begins at the oldest. */
  readonly finished: boolean;
}

/** Rows that one statement looks at. Very many may wait for good reasons before the one whose job is lost. */
const EXAMINED = 500;
/** Seconds; the pause between two jobs for one message doubles up to it. */
const LONGEST_PAUSE = 6 * 3600;
const BEGINNING = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' } as const;

/**
 * $1 seconds, $2 and $3 the row to go on behind. A message waits with reason where a job is in the outbox, where a worker
 * has it, or where its next try is yet to come.
 */
const REPUBLISH = `
  with examined as materialized (
    select id, created_at, user_id, coalesce(provider_retry_count, 0) as try,
           greatest(created_at, provider_next_retry_at) < now() - make_interval(secs => $1) as overdue
      from emails
     where status = 'queued' and created_at < now() - make_interval(secs => $1)
       and (created_at, id) > ($2::timestamptz, $3::uuid)
     order by created_at, id limit ${EXAMINED}
  ), jobless as materialized (
    select id from examined
     where overdue
       and not exists (select from smtp_relay_outbox o where o.email_id = examined.id offset 0)
       and not exists (select from smtp_relay_claims c where c.email_id = examined.id and c.until > now() offset 0)
  ), lost as materialized (
    select email_id,
           coalesce(traceparent, '00-' || replace(gen_random_uuid()::text, '-', '') || '-' ||
                                 right(replace(gen_random_uuid()::text, '-', ''), 16) || '-00') as traceparent
      from smtp_relay_messages
     where email_id = any (array(select id from jobless)) and (republish_after is null or republish_after <= now())
       for no key update skip locked
  ), counted as (
    update smtp_relay_messages
       set republished = republished + 1,
           republish_after = now() + make_interval(secs => least(${LONGEST_PAUSE}, $1 * power(2, least(republished + 1, 20))))
     where email_id = any (array(select email_id from lost))
  ), job as (
    insert into smtp_relay_outbox (email_id, user_id, try, correlation_id, traceparent)
    select id, user_id, try, split_part(traceparent, '-', 2), traceparent from lost join examined on id = email_id
    on conflict (email_id, try) do nothing
    returning 1
  )
  select (select count(*)::integer from job) as jobs, (select count(*)::integer from examined) as examined,
         created_at::text as at, id
    from examined order by created_at desc, id desc limit 1`;

/**
 * Finds messages that are queued although their job is lost, as by a purged queue, and puts a job into the outbox again. Each
 * call looks at the next stretch of what is queued, oldest first, so that a call costs little however much waits.
 * Processes that do it at the same time do not do it twice.
 */
export class Republisher {
  readonly #options: RepublisherOptions;
  #behind: { readonly at: string; readonly id: string } = BEGINNING;

  constructor(options: RepublisherOptions) {
    this.#options = options;
  }

  /** @throws the database's error */
  async next(): Promise<Republished> {
    const { db, after } = this.#options;
    const values = [after / 1000, this.#behind.at, this.#behind.id];
    const { rows } = await db.query<{ jobs: number; examined: number; at: string; id: string }>(REPUBLISH, values);
    const [found] = rows;
    const finished = !found || found.examined < EXAMINED;
    this.#behind = finished ? BEGINNING : { at: found.at, id: found.id };
    return { jobs: found?.jobs ?? 0, finished };
  }
}

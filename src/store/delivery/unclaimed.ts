import type pg from 'pg';
import { Batcher } from '../../flow/batcher.ts';
import { kept, type Queryable } from '../../postgres/pool.ts';
import { OPEN } from '../retention/sweep.ts';
import type { ProviderError } from './claim.ts';

/** What is known of a message before anybody claims it. */
export interface JobFacts {
  readonly emailId: string;
  readonly userId: string | null;
  /** The From mailbox, maybe with a display name. */
  readonly from: string;
  readonly captured: boolean;
  /** How many it is for, those who have it already among them. */
  readonly recipients: number;
  readonly sizeBytes: number;
  readonly acceptedAt: Date;
  /** Whoever had it is heard of no more. */
  readonly expired: boolean;
}

const FIELDS = `
  e.id as "emailId", e.user_id as "userId", e."from", e.created_at as "acceptedAt", m.captured,
  jsonb_array_length(m.recipients) as recipients, m.size_bytes as "sizeBytes"`;

/** Nothing is locked: whoever claims looks again. $1 ids. */
const FIND = `
  select ${FIELDS}, c.email_id is not null as expired
    from emails e
    join smtp_relay_messages m on m.email_id = e.id
    left join smtp_relay_claims c on c.email_id = e.id
   where e.id = any($1::uuid[])
     and (e.status = 'queued' and c.email_id is null and (e.provider_next_retry_at is null or e.provider_next_retry_at <= now())
          or c.state <> 'held' and c.until < now())`;

/** The oldest claims that have run out, but for those that are to be tried alone. $1 from so many takeovers, $2 not these, $3 limit. */
const FIND_EXPIRED = `
  select ${FIELDS}, true as expired
    from (select email_id, until from smtp_relay_claims
           where until < now() and state <> 'held' and takeovers < $1 and not email_id = any($2::uuid[])
           order by until limit $3) c
    join emails e on e.id = c.email_id
    join smtp_relay_messages m on m.email_id = e.id
   order by c.until`;

/**
 * Messages that this program has not accepted: not in this database at all, or still to be sent and without what was received.
 * What is done is nobody's any more, and ours may have lost the message as received (`retention.raw`). $1 ids.
 */
const FOREIGN = `
  select id from unnest($1::uuid[]) as asked (id)
   where not exists (select from smtp_relay_messages where email_id = asked.id)
     and not exists (select from emails where emails.id = asked.id and status not in ${OPEN})`;

/** Reads what is needed to decide which message goes next; concurrent callers share a statement. */
export class JobFactsReader {
  readonly #pool: pg.Pool;
  readonly #batcher: Batcher<string, JobFacts | null>;
  readonly #foreign: Batcher<string, boolean>;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    const shared = { maxItems: 200, concurrency: 2, interval: 3 };
    this.#batcher = new Batcher({ ...shared, run: ids => this.#findAll(ids) });
    this.#foreign = new Batcher({ ...shared, run: ids => this.#areForeign(ids) });
  }

  /** null where there is nothing to do: somebody has it, it is done, it is not due, or not ours. */
  find(emailId: string): Promise<JobFacts | null> {
    return this.#batcher.add(emailId);
  }

  /** Whether a message is not this program's to send, nor ever was. @throws the database's error */
  isForeign(emailId: string): Promise<boolean> {
    return this.#foreign.add(emailId);
  }

  async findExpired({ takeovers, limit, but }: ExpiredSearch): Promise<JobFacts[]> {
    return (await this.#pool.query<JobFacts>(FIND_EXPIRED, [takeovers, but, limit])).rows;
  }

  async #findAll(ids: readonly string[]): Promise<(JobFacts | null)[]> {
    const { rows } = await this.#pool.query<JobFacts>(kept(FIND, [ids]));
    const found = new Map(rows.map(facts => [facts.emailId, facts]));
    return ids.map(id => found.get(id) ?? null);
  }

  async #areForeign(ids: readonly string[]): Promise<boolean[]> {
    const { rows } = await this.#pool.query<{ id: string }>(FOREIGN, [ids]);
    const foreign = new Set(rows.map(({ id }) => id));
    return ids.map(id => foreign.has(id));
  }
}

export interface ExpiredSearch {
  /** Those that so many workers were lost with are somebody else's affair. */
  readonly takeovers: number;
  readonly limit: number;
  /** Ids of those that are known already. */
  readonly but: readonly string[];
}

/** A message that is to wait, though nobody has tried it. */
export interface PutOff {
  readonly emailId: string;
  /** Milliseconds. */
  readonly afterMs: number;
  /** Whether the limit of its tries stands still meanwhile. */
  readonly standsStill: boolean;
  /** Why, for people; null where that is nobody's affair. */
  readonly error: ProviderError | null;
  readonly trace: { readonly correlationId: string; readonly traceparent: string };
}

/**
 * $1 the messages, JSON. Only what is queued, due and nobody's is put off. Its job has a number of its own, since the one that it
 * has now is about to be removed, and a FIFO queue takes no number twice. The limit of tries stands still from the first try on.
 */
const PUT_OFF = `
  with input as materialized (
    select * from jsonb_to_recordset($1::jsonb) as p (
      email_id uuid, seconds double precision, stands_still boolean, code text, message text,
      correlation_id text, traceparent text)
  ), free as materialized (
    select id, user_id, coalesce(provider_retry_count, 0) as try from emails
     where id = any (array(select email_id from input)) and status = 'queued'
       and (provider_next_retry_at is null or provider_next_retry_at <= now())
       and not exists (select from smtp_relay_claims where email_id = emails.id)
     order by id for no key update
  ), numbered as (
    update smtp_relay_messages m
       set put_off = m.put_off + 1,
           stood_still = m.stood_still + case
             when i.stands_still and exists (select from smtp_relay_attempts where email_id = m.email_id) then i.seconds
             else 0 end
      from free f join input i on i.email_id = f.id where m.email_id = f.id
    returning m.email_id, m.put_off
  ), told as (
    update emails e
       set provider_next_retry_at = now() + make_interval(secs => i.seconds),
           provider_last_error_code = coalesce(i.code, e.provider_last_error_code),
           provider_last_error_message = coalesce(i.message, e.provider_last_error_message)
      from free f join input i on i.email_id = f.id where e.id = f.id
  )
  insert into smtp_relay_outbox (email_id, user_id, try, due_at, correlation_id, traceparent)
  select f.id, f.user_id, f.try + n.put_off, now() + make_interval(secs => i.seconds), i.correlation_id, i.traceparent
    from free f join numbered n on n.email_id = f.id join input i on i.email_id = f.id
  on conflict (email_id, try) do update set due_at = excluded.due_at, leased_until = null`;

const MAX_BATCH = 100;
/** Milliseconds. Nobody waits for it, and a backlog behind a way that is shut is to cost little. */
const INTERVAL = 100;

/** Puts messages back, to come again later. Concurrent callers share a statement. */
export class PutOffs {
  readonly #batcher: Batcher<PutOff, undefined>;

  constructor(pool: pg.Pool) {
    this.#batcher = new Batcher({
      run: async items => {
        await pool.query(PUT_OFF, [JSON.stringify(items.map(inputOf))]);
        return items.map(() => undefined);
      },
      maxItems: MAX_BATCH,
      concurrency: 1,
      interval: INTERVAL,
    });
  }

  /** Resolves when it waits, and also where there was nothing to put off any more. @throws the database's error */
  async add(item: PutOff): Promise<void> {
    await this.#batcher.add(item);
  }

  /** Has the database look at the statement, with nothing to write. @throws its error where it refuses it */
  async try(db: Queryable): Promise<void> {
    await db.query(PUT_OFF, ['[]']);
  }
}

function inputOf({ emailId, afterMs, standsStill, error, trace }: PutOff) {
  return {
    email_id: emailId,
    seconds: afterMs / 1000,
    stands_still: standsStill,
    code: error?.code ?? null,
    message: error?.message ?? null,
    correlation_id: trace.correlationId,
    traceparent: trace.traceparent,
  };
}

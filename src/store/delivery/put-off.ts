import type pg from 'pg';
import { Batcher } from '../../flow/batcher.ts';
import type { Queryable } from '../../postgres/pool.ts';
import type { ProviderError } from './settlement.ts';

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

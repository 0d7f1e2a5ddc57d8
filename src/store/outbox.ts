import type pg from 'pg';
import { Batcher } from './batcher.ts';

/** A send job that is committed but not known to be published. */
export interface OutboxEntry {
  readonly emailId: string;
  readonly userId: string | null;
  /** 0 for the first; retries of a send count up. */
  readonly try: number;
  readonly correlationId: string;
  readonly traceparent: string;
  readonly requestedAt: Date;
}

/** Names an entry. */
export type OutboxKey = Pick<OutboxEntry, 'emailId' | 'try'>;

const LEASE_DUE = `
  update smtp_relay_outbox set leased_until = now() + make_interval(secs => $2)
   where id in (select id from smtp_relay_outbox
                 where due_at <= now() and (leased_until is null or leased_until < now())
                 order by due_at limit $1 for update skip locked)
  returning email_id as "emailId", user_id as "userId", try, correlation_id as "correlationId", traceparent,
            requested_at as "requestedAt"`;

const REMOVE = `
  delete from smtp_relay_outbox as entry using unnest($1::uuid[], $2::integer[]) as done (email_id, try)
   where entry.email_id = done.email_id and entry.try = done.try`;

/** An entry that was refused waits longer each time, up to a minute; its lease keeps the others away meanwhile. */
const POSTPONE = `
  update smtp_relay_outbox as entry
     set publish_attempts = publish_attempts + 1, last_error = left(failed.reason, 500),
         leased_until = now() + make_interval(secs => least(60, power(2, least(publish_attempts, 6))))
    from unnest($1::uuid[], $2::integer[], $3::text[]) as failed (email_id, try, reason)
   where entry.email_id = failed.email_id and entry.try = failed.try`;

const MAX_REMOVED_AT_ONCE = 500;
/** Milliseconds; nobody waits for a removal. */
const REMOVAL_INTERVAL = 25;

/** The outbox: jobs wait here from the commit of their message until a queue has them. */
export class Outbox {
  readonly #pool: pg.Pool;
  readonly #removals: Batcher<OutboxKey, undefined>;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#removals = new Batcher({
      run: async keys => {
        await pool.query(REMOVE, [keys.map(key => key.emailId), keys.map(key => key.try)]);
        return keys.map(() => undefined);
      },
      maxItems: MAX_REMOVED_AT_ONCE,
      concurrency: 1,
      interval: REMOVAL_INTERVAL,
    });
  }

  /** Takes entries that nobody is publishing, for `leaseMs` milliseconds. Concurrent callers get different ones. */
  async leaseDue(limit: number, leaseMs: number): Promise<OutboxEntry[]> {
    return (await this.#pool.query<OutboxEntry>(LEASE_DUE, [limit, leaseMs / 1000])).rows;
  }

  /** Forgets published entries. */
  async remove(keys: readonly OutboxKey[]): Promise<void> {
    await Promise.all(keys.map(key => this.#removals.add(key)));
  }

  /** Keeps entries that the queue refused, for a later try. */
  async postpone(failures: readonly (OutboxKey & { readonly reason: string })[]): Promise<void> {
    const keys = [failures.map(({ emailId }) => emailId), failures.map(failure => failure.try)];
    await this.#pool.query(POSTPONE, [...keys, failures.map(({ reason }) => reason)]);
  }
}

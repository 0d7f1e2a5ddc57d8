import type pg from 'pg';
import { Batcher } from '../../flow/batcher.ts';

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

/** Reads what is needed to decide which message goes next; concurrent callers share a statement. */
export class JobFactsReader {
  readonly #pool: pg.Pool;
  readonly #batcher: Batcher<string, JobFacts | null>;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
    this.#batcher = new Batcher({ run: ids => this.#findAll(ids), maxItems: 200, concurrency: 2, interval: 3 });
  }

  /** null where there is nothing to do: somebody has it, it is done, it is not due, or not ours. */
  find(emailId: string): Promise<JobFacts | null> {
    return this.#batcher.add(emailId);
  }

  async findExpired({ takeovers, limit, but }: ExpiredSearch): Promise<JobFacts[]> {
    return (await this.#pool.query<JobFacts>(FIND_EXPIRED, [takeovers, but, limit])).rows;
  }

  async #findAll(ids: readonly string[]): Promise<(JobFacts | null)[]> {
    const { rows } = await this.#pool.query<JobFacts>(FIND, [ids]);
    const found = new Map(rows.map(facts => [facts.emailId, facts]));
    return ids.map(id => found.get(id) ?? null);
  }
}

export interface ExpiredSearch {
  /** Those that so many workers were lost with are somebody else's affair. */
  readonly takeovers: number;
  readonly limit: number;
  /** Ids of those that are known already. */
  readonly but: readonly string[];
}

import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { Batcher } from '../../flow/batcher.ts';
import type { Queryable } from '../../postgres/pool.ts';

export interface FailedLoginsOptions {
  /** Milliseconds after the last failure for which failures count. */
  readonly period: () => number;
  readonly now?: () => number;
}

interface Count {
  readonly subject: string;
  readonly failures: number;
}

/** What another pod has counted is seen within this many milliseconds. */
const FRESH = 1_000;
const MAX_SUBJECTS = 10_000;
const BATCH = { maxItems: 500, concurrency: 1, interval: 20 };

const FIND = `
  select subject, failures from smtp_relay_failed_logins
   where subject = any($1::text[]) and last_at > now() - make_interval(secs => $2)`;

/** Subjects are locked in their order, so that two pods never wait for each other. */
const ADD = `
  insert into smtp_relay_failed_logins as f (subject, failures)
  select subject, count(*) from unnest($1::text[]) as s (subject) group by subject order by subject
  on conflict (subject) do update
     set failures = excluded.failures + case when f.last_at > now() - make_interval(secs => $2) then f.failures else 0 end,
         last_at = now()
  returning subject, failures`;

const DELETE_OLD = `delete from smtp_relay_failed_logins where last_at < now() - make_interval(secs => $1)`;

/** Counts failed log-ins by subject (an address, a key), over all pods. */
export class FailedLogins {
  readonly #pool: pg.Pool;
  readonly #options: FailedLoginsOptions;
  readonly #known: LRUCache<string, number>;
  readonly #finds: Batcher<string, number>;
  readonly #adds: Batcher<string, number>;

  constructor(pool: pg.Pool, options: FailedLoginsOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#known = new LRUCache({
      max: MAX_SUBJECTS,
      ttl: FRESH,
      ttlResolution: 0,
      ...(options.now && { perf: { now: options.now } }),
    });
    this.#finds = new Batcher({ ...BATCH, run: subjects => this.#run(FIND, subjects) });
    this.#adds = new Batcher({ ...BATCH, run: subjects => this.#run(ADD, subjects) });
  }

  /** How often each has failed of late. @throws the database's error */
  countOf(subjects: readonly string[]): Promise<number[]> {
    return Promise.all(subjects.map(async subject => this.#known.get(subject) ?? this.#finds.add(subject)));
  }

  /** One more failure of each. @throws the database's error */
  async add(subjects: readonly string[]): Promise<void> {
    await Promise.all(subjects.map(subject => this.#adds.add(subject)));
  }

  async #run(statement: string, subjects: readonly string[]): Promise<number[]> {
    const { rows } = await this.#pool.query<Count>(statement, [subjects, this.#options.period() / 1000]);
    const counts = new Map(rows.map(({ subject, failures }) => [subject, failures]));
    return subjects.map(subject => {
      const count = counts.get(subject) ?? 0;
      this.#known.set(subject, count);
      return count;
    });
  }
}

/** Forgets those that do not count any more. @param period as in `FailedLoginsOptions` */
export async function deleteOldFailedLogins(db: Queryable, period: number): Promise<void> {
  await db.query(DELETE_OLD, [period / 1000]);
}

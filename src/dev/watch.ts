import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../store/pool.ts';

export interface WatchOptions {
  readonly db: Queryable;
  /** The jobs on the queue; they are looked at, not taken. */
  readonly queuedEmailIds: () => Promise<ReadonlySet<string>>;
  /** Shows one line. */
  readonly show: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface Arrival {
  readonly id: string;
  readonly from: string;
  readonly recipients: readonly string[];
  readonly subject: string;
  readonly status: string;
  /** Bytes as received; null where the pipeline keeps none. */
  readonly size: number | null;
  readonly createdAt: Date;
}

const POLL_MS = 300;
/** A job follows its commit at once; one that is not there by then is told as missing. */
const JOB_LIMIT_MS = 2_000;

/** Rows become visible in another order than they are dated, hence a window; what was shown is left out by id. */
const FIND_ARRIVALS = `
  select e.id, e."from", e.subject, e.status, m.size_bytes as size, e.created_at as "createdAt",
         coalesce(m.recipients, e."to" || coalesce(e.cc, '[]') || coalesce(e.bcc, '[]')) as recipients
    from emails e left join smtp_relay_messages m on m.email_id = e.id
   where e.created_at > greatest($1::timestamptz, now() - interval '1 minute') and e.id <> all ($2::uuid[])
   order by e.created_at, e.id limit 500`;

/** Shows one line for each message that arrives from now on, until the signal. Never rejects. */
export async function watchArrivals({ db, queuedEmailIds, show, signal }: WatchOptions): Promise<void> {
  const since = new Date();
  const shown = new Map<string, Date>();

  async function poll(): Promise<void> {
    const { rows } = await db.query<Arrival>(FIND_ARRIVALS, [since, [...shown.keys()]]);
    if (rows.length === 0) return;
    const jobs = await queuedEmailIds();
    for (const row of rows) {
      const hasJob = jobs.has(row.id);
      if (!hasJob && Date.now() - row.createdAt.getTime() < JOB_LIMIT_MS) continue;
      shown.set(row.id, row.createdAt);
      show(renderArrival(row, hasJob));
    }
  }

  while (!signal.aborted) {
    // A poll that fails is followed by the next one: the relay itself reports what is wrong.
    await poll().catch(() => {});
    forgetOld(shown);
    await sleep(POLL_MS, undefined, { signal }).catch(() => {});
  }
}

/** What is older than the query's window cannot come again. */
function forgetOld(shown: Map<string, Date>): void {
  for (const [id, createdAt] of shown) {
    if (Date.now() - createdAt.getTime() > 120_000) shown.delete(id);
  }
}

/** One message as one line. */
export function renderArrival(row: Arrival, hasJob: boolean): string {
  const time = row.createdAt.toTimeString().slice(0, 8);
  const [first = 'nobody', ...others] = row.recipients;
  const to = others.length > 0 ? `${first} +${others.length}` : first;
  const size = row.size === null ? '' : `  ${row.size} B`;
  const job = hasJob ? 'job on SQS' : 'no job on SQS yet';
  const line = `${time}  ${row.from} -> ${to}  "${row.subject}"${size}  ${row.id}  ${row.status}, ${job}`;
  // A client chooses these texts: none may end the line or talk to the terminal.
  return line.replace(/\p{Cc}+/gu, ' ');
}

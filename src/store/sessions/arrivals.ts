import type { Queryable } from '../../postgres/pool.ts';
import { forgetsOld } from './forget-old.ts';
import type { SessionLine } from './sessions.ts';

/** What was said in the session of one message, from the connection to its 250. No line has a credential, or anything of a message but its size. */
export interface Arrival {
  readonly emailId: string;
  /** The id of the key that sent it. */
  readonly keyId: string | null;
  /** When the session began. */
  readonly beganAt: Date;
  readonly lines: readonly SessionLine[];
}

export interface KeptArrival extends Arrival {
  readonly pod: string;
  /** When the queue had its job; null where there is no queue, or as yet. */
  readonly publishedAt: Date | null;
}

/** A job that the queue has. */
export interface Published {
  readonly emailId: string;
  readonly at: Date;
}

/** So many are kept, the newest. */
const MOST = 50_000;

/** $1: arrivals, JSON. One that is known is written anew, since its 250 may come later. */
const WRITE = `
  insert into smtp_relay_arrivals (email_id, key_id, pod, began_at, lines)
  select "emailId", "keyId", pod, "beganAt", lines
    from jsonb_to_recordset($1::jsonb) as a ("emailId" uuid, "keyId" text, pod text, "beganAt" timestamptz, lines jsonb)
   order by "emailId"
  on conflict (email_id) do update set lines = excluded.lines`;

const PUBLISHED = `
  update smtp_relay_arrivals a set published_at = p.at
    from jsonb_to_recordset($1::jsonb) as p ("emailId" uuid, at timestamptz)
   where a.email_id = p."emailId"`;

const FIND = `
  select email_id as "emailId", key_id as "keyId", pod, began_at as "beganAt", published_at as "publishedAt", lines
    from smtp_relay_arrivals where email_id = $1`;

/** Writes how messages arrived. */
export async function writeArrivals(
  db: Queryable,
  arrivals: readonly Omit<KeptArrival, 'publishedAt'>[],
): Promise<void> {
  await db.query(WRITE, [JSON.stringify(arrivals)]);
}

/** Writes when the queue had their jobs; of messages that nothing is kept of, nothing is. */
export async function writePublished(db: Queryable, published: readonly Published[]): Promise<void> {
  await db.query(PUBLISHED, [JSON.stringify(published)]);
}

/** How a message arrived; null where that is not kept. */
export async function findArrival(db: Queryable, emailId: string): Promise<KeptArrival | null> {
  return (await db.query<KeptArrival>(FIND, [emailId])).rows[0] ?? null;
}

/** Forgets what has been kept for its time, and the oldest of very many. */
export const deleteOldArrivals = forgetsOld({ table: 'smtp_relay_arrivals', since: 'kept_at', most: MOST });

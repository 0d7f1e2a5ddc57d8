import type { Queryable } from '../../postgres/pool.ts';
import { IN_SANDBOX } from '../events/mail.ts';
import { findByMessageId } from './find.ts';
import { CANCELED_SPELLINGS, shownStatus, statusSpellings } from './standing.ts';

/** A stored message, as a list shows it. */
export interface EmailSummary {
  readonly id: string;
  readonly status: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly owner: string | null;
  readonly createdAt: Date;
  /** Its key was in sandbox: it has gone to nobody. */
  readonly sandbox: boolean;
}

export interface EmailFilter extends Omit<EmailQuestion, 'ids'> {
  /** Only those with this Message-ID, as `findByMessageId` finds them. */
  readonly messageId?: string | undefined;
}

/** What is asked for; those with a Message-ID are known by their ids. */
export interface EmailQuestion {
  readonly status?: string | undefined;
  readonly owner?: string | undefined;
  /** Only what was stored at or after this time. */
  readonly since?: Date | undefined;
  /** Only what was stored before this time. */
  readonly before?: Date | undefined;
  readonly ids?: readonly string[] | undefined;
  readonly limit: number;
}

export interface Searched<T> {
  /** Newest first. */
  readonly rows: readonly T[];
  /** What was stored before this time was not looked at; null where nothing was left out. */
  readonly backTo: Date | null;
}

interface Row {
  readonly id: string;
  readonly createdAt: Date;
}

type Bind = (value: unknown) => string;

interface Condition {
  /** SQL about a row `e`: such rows an index has in the order of time. */
  readonly sql: (bind: Bind) => string;
  /** Whether all of them are asked for, but for the owner. */
  readonly isExact: boolean;
}

/** Conditions that together let through all that is asked for. */
type Way = readonly Condition[];

/** Rows that one walk along an index examines, where not all it has are asked for: some hundredths of a second. */
export const EXAMINED = 10_000;

const OPEN = ['queued', 'processing', 'scheduled'];
const ENDED = ['failed', 'bounced', 'complained', 'suppressed', ...CANCELED_SPELLINGS];

/** An installation of OpenSend's has an index of all statuses, and a database of our own indexes of those that are few. */
const HAS_STATUSES = `
  select exists (select from pg_index
                   join pg_attribute a on a.attrelid = indexrelid and a.attnum = 1 and a.attname = 'status'
                   join pg_attribute b on b.attrelid = indexrelid and b.attnum = 2 and b.attname = 'created_at'
                  where indrelid = to_regclass('emails') and indisvalid and indpred is null and indnkeyatts > 1) as has`;

/** SQL: what workers have. */
const IN_HAND = 'e.id = any(array(select email_id from smtp_relay_claims))';

/** SQL: the rows whose status people are shown so; what is being sent is found by its claim, however much is queued. */
const SHOWN_AS: Readonly<Record<string, string>> = {
  queued: `e.status = 'queued' and not exists (select from smtp_relay_claims where email_id = e.id)`,
  processing: `(e.status = 'processing' or e.status = 'queued' and ${IN_HAND})`,
};

/** SQL: what a list shows of a row `e`. */
export const SUMMARY = `
  e.id, ${shownStatus('e')} as status, e."from", e."to", e.subject, e.user_id as owner, e.created_at as "createdAt",
  ${IN_SANDBOX} as sandbox`;

/** A client that gives one Message-ID to all its messages is not listed in full. */
const MAX_SAME_ID = 1_000;

/** Stored messages, newest first: all that there are, or those that a bounded search comes to. */
export async function listEmails(db: Queryable, filter: EmailFilter): Promise<readonly EmailSummary[]> {
  return (await lookForEmails(db, filter)).rows;
}

/** Stored messages, newest first, and how far back the search came. */
export async function lookForEmails(db: Queryable, filter: EmailFilter): Promise<Searched<EmailSummary>> {
  const { messageId, ...question } = filter;
  const ids = messageId === undefined ? undefined : await findByMessageId(db, messageId, MAX_SAME_ID);
  return searchEmails<EmailSummary>(db, SUMMARY, { ...question, ids });
}

/**
 * Looks for messages, newest first, along each index that knows something of what is asked for. No walk examines more than `EXAMINED`
 * rows, so that the cost is bounded however many messages there are, and however few of them are meant.
 *
 * @param columns SQL of what is read of a row `e`, `id` and `createdAt` among it
 */
async function searchEmails<T extends Row>(
  db: Queryable,
  columns: string,
  question: EmailQuestion,
): Promise<Searched<T>> {
  const { limit } = question;
  const reached: Date[] = [];
  let rows: readonly T[] = [];
  for (const way of await waysTo(db, question)) {
    const walked = await Array.fromAsync(way, condition => walk<T>(db, columns, question, condition));
    rows = newest([...rows, ...walked.flatMap(each => each.rows)], limit);
    const backTo = latest(walked.map(each => each.backTo));
    const last = rows[limit - 1];
    if (backTo === null || (last && last.createdAt >= backTo)) return { rows, backTo: null };
    reached.push(backTo);
  }
  return { rows, backTo: reached.reduce((a, b) => (a < b ? a : b)) };
}

/** The ways to all that is asked for, the shortest one first. */
async function waysTo(db: Queryable, { status, owner, ids }: EmailQuestion): Promise<readonly Way[]> {
  const isExact = status === undefined;
  if (ids !== undefined) return [[{ sql: bind => `e.id = any(${bind(ids)}::uuid[])`, isExact: false }]];
  const ofOwner: readonly Way[] = owner === undefined ? [] : [[{ sql: bind => `e.user_id = ${bind(owner)}`, isExact }]];
  const ofStatus = status === undefined ? [] : await waysByStatus(db, status);
  const ways = [...ofOwner, ...ofStatus];
  return ways.length > 0 ? ways : [[{ sql: () => 'true', isExact }]];
}

async function waysByStatus(db: Queryable, status: string): Promise<readonly Way[]> {
  const hasAll = (await db.query<{ has: boolean }>(HAS_STATUSES)).rows[0]?.has === true;
  const inHand: Way = status === 'processing' ? [{ sql: () => IN_HAND, isExact: false }] : [];
  if (!hasAll && OPEN.includes(status)) {
    return [[...inHand, { sql: () => `e.status in (${quoted(OPEN)})`, isExact: false }]];
  }
  if (!hasAll && !ENDED.includes(status)) return [];
  // One way of writing it is compared as one: an index then has the rows in their order.
  const ofSpelling = (spelling: string): Condition => ({
    sql: bind => `e.status = ${bind(spelling)}`,
    isExact: !(status in SHOWN_AS),
  });
  return [[...inHand, ...statusSpellings(status).map(ofSpelling)]];
}

async function walk<T extends Row>(
  db: Queryable,
  columns: string,
  { status, owner, since, before, limit }: EmailQuestion,
  condition: Condition,
): Promise<Searched<T>> {
  const values: unknown[] = [];
  const bind: Bind = value => `$${values.push(value)}`;
  const along = `
          from emails e
         where ${[
           condition.sql(bind),
           ...(since === undefined ? [] : [`e.created_at >= ${bind(since)}`]),
           ...(before === undefined ? [] : [`e.created_at < ${bind(before)}`]),
         ].join(' and ')}
         order by e.created_at desc, e.id desc`;
  const isAll = condition.isExact && (status === undefined || owner === undefined);
  // Told how few are needed, the planner takes the index that has them in their order.
  const examined = isAll ? limit : Math.max(limit, EXAMINED);
  const last = `select e.created_at as at ${along} offset ${examined - 1} limit 1`;
  const ofAlong = [...values];
  const wanted = [
    'true',
    ...(owner === undefined ? [] : [`e.user_id = ${bind(owner)}`]),
    ...(status === undefined ? [] : [SHOWN_AS[status] ?? `e.status = any(${bind(statusSpellings(status))}::text[])`]),
  ];
  const statement = `
  select ${columns}
    from (select * ${along} limit ${examined}) e
   where ${wanted.join(' and ')}
   order by e.created_at desc, e.id desc
   limit ${bind(limit)}`;
  const { rows } = await db.query<T>(statement, values);
  if (rows.length >= limit) return { rows, backTo: rows.at(-1)?.createdAt ?? null };
  if (isAll) return { rows, backTo: null };
  const [end] = (await db.query<{ at: Date }>(last, ofAlong)).rows;
  return { rows, backTo: end?.at ?? null };
}

/** Statuses are words of ours. */
function quoted(statuses: readonly string[]): string {
  return statuses.map(status => `'${status}'`).join(', ');
}

function newest<T extends Row>(rows: readonly T[], limit: number): T[] {
  const byId = new Map(rows.map(row => [row.id, row]));
  const byTime = (a: T, b: T) => b.createdAt.getTime() - a.createdAt.getTime() || (a.id < b.id ? 1 : -1);
  return [...byId.values()].toSorted(byTime).slice(0, limit);
}

/** Of what was left out on several walks, that which is youngest. */
function latest(times: readonly (Date | null)[]): Date | null {
  return times.reduce((a, b) => (a === null || (b !== null && b > a) ? b : a), null);
}

import { isUuid } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { shownStatus } from './standing.ts';

/** SES puts its id before this in the Message-ID that recipients see: `<id@email.amazonses.com>`, `<id@eu-west-1.amazonses.com>`. */
const SES_HOST = /@[a-z0-9.-]+\.amazonses\.com$/i;
const MAX_FOUND = 20;

const BY_ID = 'select id from emails where id = $1';

const BY_PROVIDER = 'select distinct email_id as id from smtp_relay_attempts where provider_message_id = $1 limit $2';

/** SQL: the day on which a message came in, as the indexes on Message-IDs have it. */
const DAY = "(created_at at time zone 'UTC')::date";

/**
 * SQL: messages with the Message-ID $1, the youngest first. The index is by day, so that an entry of today comes beside others of
 * today however many there are of a year; so each day is looked at.
 */
const withMessageId = (table: string): string => `
    select email_id
      from (select max(${DAY})::timestamp as last, min(${DAY})::timestamp as first from ${table}) as kept
     cross join generate_series(kept.last, kept.first, interval '-1 day') as day
     cross join lateral (
           select email_id from ${table}
            where ${DAY} = day::date and hashtext(message_id) = hashtext($1) and message_id = $1 limit $2) as found
     limit $2`;

/**
 * One table has messages that are kept as they were received, the other has those that no longer are, and all of them beside
 * OpenSend, which may have deleted the message since.
 */
const BY_MESSAGE_ID = `
  select id from emails where id = any (array(
    (${withMessageId('smtp_relay_messages')})
    union all (${withMessageId('smtp_relay_message_ids')})))
   limit $2`;

/**
 * The Message-ID of a row that others than this program wrote is in no index: of those, the newest are looked at. $1 and $2 the
 * spellings of the id.
 */
const BY_HEADER = `
  select id from (select id, headers from emails order by created_at desc, id desc limit 1000) e
   where coalesce(headers ->> 'Message-ID', headers ->> 'Message-Id', headers ->> 'message-id') in ($1, $2)
   limit $3`;

const DESCRIBE = `
  select id, created_at as "createdAt", ${shownStatus('e')} as status, "to"
    from emails e where id = any($1::uuid[]) order by created_at`;

interface Candidate {
  readonly id: string;
  readonly createdAt: Date;
  readonly status: string;
  readonly to: readonly string[];
}

/**
 * The id of the message that a person means: by the id that the 250 named, by the client's Message-ID, with or without angle
 * brackets, or by the id that the provider gave it.
 *
 * @throws StoreError `not-found`; `ambiguous` where several have that Message-ID, which the text then lists
 */
export async function resolveEmailId(db: Queryable, text: string): Promise<string> {
  const wanted = withoutBrackets(text);
  const [first, ...others] = await candidates(db, wanted);
  if (!first) throw new StoreError('not-found', `no message has the id "${text}"`, 'emails');
  if (others.length === 0) return first;
  const { rows } = await db.query<Candidate>(DESCRIBE, [[first, ...others]]);
  const lines = rows.map(row => `  ${row.id}  ${row.createdAt.toISOString()}  ${row.status}  ${row.to.join(', ')}`);
  const more = others.length + 1 === MAX_FOUND ? '\n  ...' : '';
  throw new StoreError('ambiguous', `several messages have the id "${text}"; name one:\n${lines.join('\n')}${more}`);
}

async function candidates(db: Queryable, wanted: string): Promise<string[]> {
  if (isUuid(wanted)) return idsOf(db, BY_ID, [wanted]);
  const sent = await idsOf(db, BY_PROVIDER, [wanted.replace(SES_HOST, ''), MAX_FOUND]);
  return sent.length > 0 ? sent : findByMessageId(db, wanted, MAX_FOUND);
}

/**
 * The ids of messages with that Message-ID, with or without angle brackets: the client's, or the one that a message without
 * got from us.
 */
export async function findByMessageId(db: Queryable, text: string, limit: number): Promise<string[]> {
  const wanted = withoutBrackets(text);
  const kept = await idsOf(db, BY_MESSAGE_ID, [wanted, limit]);
  if (kept.length > 0) return kept;
  const [local = ''] = wanted.split('@');
  // A message that came without a Message-ID goes out with one that begins with its id.
  const own = isUuid(local) ? await idsOf(db, BY_ID, [local]) : [];
  return own.length > 0 ? own : idsOf(db, BY_HEADER, [wanted, `<${wanted}>`, limit]);
}

async function idsOf(db: Queryable, statement: string, values: unknown[]): Promise<string[]> {
  return (await db.query<{ id: string }>(statement, values)).rows.map(({ id }) => id);
}

function withoutBrackets(text: string): string {
  return text.trim().replace(/^<(.*)>$/, '$1');
}

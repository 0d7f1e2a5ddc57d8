import { comparableDomain, isAscii } from '../../message/addresses/address.ts';
import { isUuid } from '../../platform/uuid.ts';
import { StoreError } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { shownStatus, statusSpellings } from '../emails/standing.ts';
import { readSearch, type SearchTerm } from './query.ts';

/** A captured message, as the inbox lists it. */
export interface InboxSummary {
  readonly id: string;
  readonly createdAt: Date;
  readonly status: string;
  readonly owner: string | null;
  readonly from: string;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly subject: string;
  /** The beginning of its text. */
  readonly preview: string;
  readonly tags: readonly { readonly name: string; readonly value: string }[];
  readonly attachments: number;
  /** Bytes as received; null where it is not kept any more. */
  readonly size: number | null;
  /** Its key was in sandbox. */
  readonly sandbox: boolean;
  /** How many events there are of each type. */
  readonly events: Readonly<Record<string, number>>;
}

export interface InboxQuestion {
  /** Whether only what was captured, or sent with a key in sandbox, may be seen: other mail goes to people. */
  readonly onlyCaptured: boolean;
  /** As people write it (`readSearch`). */
  readonly query?: string | undefined;
  /** Further terms that have to hold. */
  readonly terms?: readonly SearchTerm[] | undefined;
  /** Only what was stored at or after this time. */
  readonly since?: Date | undefined;
  /** What a page before this one gave as `next`. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export interface InboxPage {
  /** Newest first. */
  readonly messages: readonly InboxSummary[];
  /** For the page that follows; null where there is nothing older. There may be fewer messages than asked for, or none, before it. */
  readonly next: string | null;
}

/** Rows that one page examines: some hundredths of a second, or with bodies some tenths. */
const EXAMINED = 10_000;
const EXAMINED_WITH_BODIES = 2_000;
const CURSOR = /^(\d{4}-\d\d-\d\dT[\d:.]+Z)_([0-9a-f-]{36})$/;

/** SQL: a time as `CURSOR` has it, with the microseconds that a Date has not. */
const EXACT = `to_char(e.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** SQL of a row `e`. */
const SUMMARY = `
  e.id, e.created_at as "createdAt", ${shownStatus('e')} as status, e.user_id as owner, e."from", e."to",
  coalesce(e.cc, '[]') as cc, coalesce(e.bcc, '[]') as bcc, e.subject, coalesce(e.tags, '[]') as tags,
  coalesce(left(e.text, 200), regexp_replace(left(e.html, 4000), '<(style|title)[^>]*>.*?</\\1>|<[^>]*>|&[a-z]+;', ' ', 'gi'), '')
    as preview,
  case when jsonb_typeof(e.attachments) = 'array' then jsonb_array_length(e.attachments) else 0 end as attachments,
  (select size_bytes from smtp_relay_messages where email_id = e.id) as size,
  coalesce((select sandbox from smtp_relay_messages where email_id = e.id), false) as sandbox,
  (select coalesce(jsonb_object_agg(type, n), '{}') from (
     select type, count(*) as n from email_events where email_id = e.id group by type) v) as events,
  ${EXACT} as exact`;

/** SQL: whether a row `e` goes to nobody. A message that is not kept as received any more says nothing of that. */
export const IS_CAPTURED = 'exists (select from smtp_relay_messages m where m.email_id = e.id and m.captured)';

const COUNT = 'select count(*)::integer as count from (select from emails limit 100000) e';

/** How many messages there are, or 100000 for that many and more. */
export async function countInbox(db: Queryable): Promise<number> {
  return (await db.query<{ count: number }>(COUNT)).rows[0]?.count ?? 0;
}

/**
 * Looks for messages, newest first. One call examines no more than some thousand rows, however many there are and however few are
 * meant: `next` leads on from there.
 *
 * @throws StoreError `invalid` for an `after` that no page gave
 */
export async function searchInbox(db: Queryable, question: InboxQuestion): Promise<InboxPage> {
  const { query = '', terms = [], onlyCaptured, since, after, limit } = question;
  const wanted = [...readSearch(query), ...terms];
  const values: unknown[] = [];
  const bind = (value: unknown): string => `$${values.push(value)}`;
  const along = `
    from emails e
   where true
     ${after === undefined ? '' : `and (e.created_at, e.id) < ${boundOf(after, bind)}`}
     ${since === undefined ? '' : `and e.created_at >= ${bind(since)}`}
   order by e.created_at desc, e.id desc`;
  const withBodies = wanted.some(({ field }) => field === 'text');
  const isAll = wanted.length === 0 && !onlyCaptured;
  const examined = isAll ? limit : withBodies ? EXAMINED_WITH_BODIES : EXAMINED;
  const ofAlong = [...values];
  const conditions = [onlyCaptured ? IS_CAPTURED : 'true', ...wanted.map(term => isMet(term, bind))];
  const statement = `
  select ${SUMMARY} from (select * ${along} limit ${examined}) e
   where ${conditions.join(' and ')}
   order by e.created_at desc, e.id desc limit ${bind(limit)}`;
  const { rows } = await db.query<InboxSummary & { exact: string }>(statement, values);
  const messages = rows.map(({ exact, ...message }) => ({ ...message, preview: shortened(message.preview) }));
  const last = rows.at(-1);
  if (last && rows.length === limit) return { messages, next: `${last.exact}_${last.id}` };
  if (isAll) return { messages, next: null };
  const end = `select e.id, ${EXACT} as exact ${along} offset ${examined - 1} limit 1`;
  const [reached] = (await db.query<{ id: string; exact: string }>(end, ofAlong)).rows;
  return { messages, next: reached ? `${reached.exact}_${reached.id}` : null };
}

function boundOf(after: string, bind: (value: unknown) => string): string {
  const [, at = '', id = ''] = CURSOR.exec(after) ?? [];
  if (!isUuid(id)) throw new StoreError('invalid', 'after is not what a page gave as next');
  return `(${bind(at)}::timestamptz, ${bind(id)}::uuid)`;
}

/** SQL: whether a row `e` is as the term has it. */
function isMet(term: SearchTerm, bind: (value: unknown) => string): string {
  const condition = conditionOf(term, bind);
  return term.isNot ? `not coalesce(${condition}, false)` : condition;
}

/** SQL: whether a row `e` has it; unknown where it lacks the column. */
function conditionOf(term: SearchTerm, bind: (value: unknown) => string): string {
  switch (term.field) {
    case 'attachment':
      return `(jsonb_typeof(e.attachments) = 'array' and e.attachments <> '[]')`;
    case 'tag': {
      const { name, value } = term;
      return `e.tags @> ${bind(JSON.stringify([value === null ? { name } : { name, value }]))}::jsonb`;
    }
    case 'status':
      return `${shownStatus('e')} = any(${bind(statusSpellings(term.text.toLowerCase()))}::text[])`;
    default: {
      const contains = formsOf(term.field, term.text).map(text => containing(text, bind));
      return `(${COLUMNS[term.field].flatMap(name => contains.map(one => `e.${name} ${one}`)).join(' or ')})`;
    }
  }
}

/** What is looked for in addresses may have a domain as people write it, which is stored as A-labels. */
function formsOf(field: keyof typeof COLUMNS, text: string): readonly string[] {
  const domainAt = text.lastIndexOf('@') + 1;
  const domain = text.slice(domainAt);
  if (field === 'subject' || isAscii(domain)) return [text];
  return [text, `${text.slice(0, domainAt)}${comparableDomain(domain)}`];
}

const RECIPIENTS = ['"to"::text', 'cc::text', 'bcc::text'];
/** Columns in which a text is looked for. */
const COLUMNS = {
  from: ['"from"'],
  to: RECIPIENTS,
  cc: ['cc::text'],
  bcc: ['bcc::text'],
  subject: ['subject'],
  text: [...RECIPIENTS, '"from"', 'subject', 'text', 'html', 'tags::text'],
};

/**
 * SQL, behind a column: contains a text, in upper or lower case. A database with the locale C knows no case beyond ASCII, so that a
 * pattern names both of other letters.
 */
function containing(text: string, bind: (value: unknown) => string): string {
  if (isAscii(text)) return `ilike ${bind(`%${text.replaceAll(/[\\%_]/g, '\\$&')}%`)}`;
  return `~* ${bind(Array.from(text, eitherCase).join(''))}`;
}

/** A regular expression for a character. */
function eitherCase(character: string): string {
  if (isAscii(character)) return character.replace(/[^a-z0-9\s]/i, '\\$&');
  const cases = [character, character.toLowerCase(), character.toUpperCase()];
  return `(?:${[...new Set(cases)].join('|')})`;
}

function shortened(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim().slice(0, 160);
}

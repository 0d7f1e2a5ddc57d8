import type pg from 'pg';
import { piecesOf } from '../../message/bytes.ts';
import { type BodyText, bytesOf } from '../../message/text/body-text.ts';
import { type Pieces, queryStreamed, type StreamedValue } from '../../postgres/binary.ts';
import { OUTBOX_CHANNEL } from '../../postgres/notifications.ts';
import { kept, type Queryable } from '../../postgres/pool.ts';
import { ADMIT, type UsageCount } from '../keys/usage.ts';
import { ARRIVAL, CARRIED, definitionsOf, EMAIL, membersOf, namesOf, valuesOf } from './columns.ts';
import type { NewMessage } from './new-message.ts';
import { nameObjects } from './objects.ts';

export interface InsertOptions {
  /**
   * Write a send job into the outbox, with this many milliseconds for the writer to publish it before others do. 0: it is
   * due at once, and workers that take jobs from the outbox are told.
   */
  readonly outboxLease: number | null;
}

/**
 * What is kept beside the rows: messages as they were received, there or as objects, or only by which Message-ID their clients know
 * them.
 */
interface Beside {
  readonly clause: (rows: string) => string;
  /** What has to be so, as a column of the answer. */
  readonly check?: (rows: string) => string;
}

interface Job {
  readonly job: boolean;
  readonly notify?: string;
}

/** Which rows are stored: all of them, or those that the limits of their keys let in. */
interface Source {
  readonly rows: string;
  readonly clause: string;
}

/** What of the only message may travel beside the JSON. */
const APART = {
  attachments: `case when $7::text is null then coalesce($3::jsonb, attachments)
                     else jsonb_set($3::jsonb, array[$6::text, 'content'], to_jsonb($7::text)) end`,
  text: 'coalesce($4::text, text)',
  html: 'coalesce($5::text, html)',
};

/**
 * $1: the messages, JSON; $2: their raw bytes, one behind the other; $3, $4, $5: attachments, text and HTML of the only message,
 * where they do not travel in $1; $6, $7: which attachment's content is not in $3, and that; $8: seconds of the lease. `from`: where the
 * rows are, and what says so.
 *
 * A commit that does not wait for its flush to disk would break the promise behind a 250, so a weaker setting of the
 * role or database is overruled for this transaction; a stronger one (remote_apply) stays.
 */
const store = ({ job, notify = '' }: Job, beside: Beside, from: Source): string => `
  with durable as materialized (
    select case when current_setting('synchronous_commit') in ('off', 'local', 'remote_write')
                then set_config('synchronous_commit', 'on', true) end${notify}
  ), input as materialized (
    select * from durable, json_to_recordset($1::json) as message (
      ${definitionsOf(EMAIL)}, ${definitionsOf(CARRIED)}, ${definitionsOf(ARRIVAL)},
      correlation_id text, traceparent text, message_id text, raw_from integer, raw_bytes integer, sha256 text, object_url text,
      key_id uuid, recipient_count bigint, messages_per_minute bigint, recipients_per_minute bigint, messages_per_day bigint,
      recipients_per_day bigint)
  )${from.clause}${beside.clause(from.rows)}${job ? outboxEntry(from.rows) : ''}, stored as (
    insert into emails (${namesOf(EMAIL)}, status)
    select ${valuesOf(EMAIL, APART)}, 'queued'
      from ${from.rows}
    returning id
  )
  select id, ${requireAll('emails', 'stored', from.rows)}${job ? requireJobs(from.rows) : ''}${beside.check?.(from.rows) ?? ''} from ${from.rows}`;

const insertOriginals = (rows: string, raw: string): string => `, original as (
    insert into smtp_relay_messages (
      email_id, raw, object_url, sha256, size_bytes, message_id, traceparent, ${namesOf(CARRIED)}, ${namesOf(ARRIVAL)})
    select id, ${raw}, object_url,
           decode(sha256, 'hex'), raw_bytes, message_id, traceparent, ${valuesOf(CARRIED)}, ${valuesOf(ARRIVAL)}
      from ${rows} where raw_bytes is not null
  )`;

const originals: Beside = {
  clause: rows =>
    insertOriginals(
      rows,
      'case when raw_bytes = length($2::bytea) then $2::bytea else substring($2::bytea from raw_from for raw_bytes) end',
    ),
};

/** They are elsewhere already, so that $2 is empty. */
const objects: Beside = {
  clause: rows => `${insertOriginals(rows, '$2::bytea')}, ${nameObjects(rows)}`,
  check: rows => `, ${requireAll('smtp_relay_objects', 'named', rows, 'object_url')}`,
};

/** No original is among them, so that $2 is empty. */
const messageIds: Beside = {
  clause: rows => `, named as (
    insert into smtp_relay_message_ids (email_id, message_id)
    select id, message_id from ${rows} where message_id is not null and $2::bytea = ''
  )`,
};

/**
 * Fails, and with that rolls all back, where a trigger of the installation has kept a row out, or gave it another id: what was
 * stored could not be promised. A cast is the way to fail that needs no function; the text is in the error.
 *
 * @param inserted the part of the statement that says which ids it has inserted
 * @param rows those that it was to insert
 * @param key what they have in common
 */
const requireAll = (table: string, inserted: string, rows: string, key = 'id'): string => `
         (select case when count(taken) <> count(*)
                      then ('${table} took ' || count(taken) || ' of ' || count(*)
                            || ' rows: does a trigger or rule keep them out, or change their ids?')::integer end
            from ${rows} left join (select ${key}, true as taken from ${inserted}) as inserted using (${key}))`;

/** The lease counts from now, not from the beginning of a transaction that may have waited for a lock. */
const outboxEntry = (rows: string): string => `, job as (
    insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent, leased_until)
    select id, user_id, correlation_id, traceparent, clock_timestamp() + make_interval(secs => $8) from ${rows}
    returning email_id as id
  )`;
const requireJobs = (rows: string): string => `, ${requireAll('smtp_relay_outbox', 'job', rows)}`;

/** Without a queue, the worker hears of the commit. With one it need not, and the commit is spared the lock of a NOTIFY. */
const NOTIFY = `, pg_notify('${OUTBOX_CHANNEL}', '')`;

const ALL: Source = { rows: 'input', clause: '' };
const ADMITTED: Source = { rows: 'accepted', clause: ADMIT };

const JOBS = {
  alone: { job: false },
  withJob: { job: true },
  withDueJob: { job: true, notify: NOTIFY },
};

const STORE = {
  originals: statementsFor(originals),
  objects: statementsFor(objects),
  messageIds: statementsFor(messageIds),
};

function statementsFor(beside: Beside) {
  const bothOf = (job: Job) => ({ all: store(job, beside, ALL), admitted: store(job, beside, ADMITTED) });
  return { alone: bothOf(JOBS.alone), withJob: bothOf(JOBS.withJob), withDueJob: bothOf(JOBS.withDueJob) };
}

/** Version byte of jsonb's binary form (PostgreSQL, `jsonb_recv`); the JSON text follows. */
const JSONB_VERSION = 1;

/**
 * Stores messages by one statement, in the transaction of whoever calls it. Either all come with their originals, or none; one whose
 * original is an object comes alone.
 *
 * @returns the ids of those that were stored: all, but for those whose keys have reached a limit
 */
export async function insertMessages(
  db: Queryable,
  messages: readonly NewMessage[],
  { outboxLease }: InsertOptions,
): Promise<ReadonlySet<string>> {
  const [first] = messages;
  const apart = messages.length === 1 && first ? apartOf(first) : NOTHING_APART;
  const { json, raws } = encode(messages);
  const lease = outboxLease === null ? [] : [outboxLease / 1000];
  const statements = STORE[besideOf(first)];
  const statement = statements[outboxLease === null ? 'alone' : outboxLease === 0 ? 'withDueJob' : 'withJob'];
  const isCounted = messages.some(({ counted }) => counted);
  const text = isCounted ? statement.admitted : statement.all;
  const values = [json, raws, apart.attachments, apart.text, apart.html, apart.index, apart.content, ...lease];
  const { rows } = await run(db, text, values);
  return new Set(rows.map(({ id }) => id));
}

function besideOf(message: NewMessage | undefined): keyof typeof STORE {
  if (!message?.original) return 'messageIds';
  return message.original.object ? 'objects' : 'originals';
}

/** Has the database look at the statement that stores what a worker writes, with nothing to store. @throws its error */
export async function tryInsertMessages(db: Queryable): Promise<void> {
  await db.query(STORE.originals.withDueJob.all, ['[]', Buffer.alloc(0), null, null, null, null, null, 0]);
}

/** Bytes from which on parameters are not to be copied by the driver. */
const LARGE = 256 * 1024;

function run(db: Queryable, text: string, values: readonly StreamedValue[]): Promise<pg.QueryResult<{ id: string }>> {
  const bytes = values.flat().reduce<number>((sum, value) => sum + (value instanceof Uint8Array ? value.length : 0), 0);
  if (bytes >= LARGE) return queryStreamed(db, text, values);
  return db.query(
    kept(
      text,
      values.map(value => (Array.isArray(value) ? joined(value) : value)),
    ),
  );
}

function joined(pieces: Pieces): Buffer {
  const [only, ...others] = pieces;
  return others.length === 0 && only instanceof Buffer ? only : Buffer.concat(pieces);
}

/** What of a message travels beside its JSON, in the binary form of its type. */
interface Apart extends Readonly<Record<'attachments' | 'text' | 'html' | 'content', Pieces | null>> {
  /** Of the attachment that has the content. */
  readonly index: number | null;
}

const NOTHING_APART: Apart = { attachments: null, text: null, html: null, index: null, content: null };

function apartOf({ attachmentsJson, contentApart, text, html }: NewMessage): Apart {
  return {
    index: contentApart?.index ?? null,
    content: contentApart?.content ?? null,
    attachments: attachmentsJson && [Buffer.of(JSONB_VERSION), attachmentsJson],
    text: binaryText(text),
    html: binaryText(html),
  };
}

/** The binary form of `text` is its characters. */
function binaryText(text: BodyText | null): Pieces | null {
  return text === null || typeof text === 'string' ? null : [text];
}

function encode(messages: readonly NewMessage[]): { json: string; raws: Buffer[] } {
  let rawFrom = 1;
  const raws: Buffer[] = [];
  const isAlone = messages.length === 1;
  const rows = messages.map(message => {
    const raw = message.original?.raw;
    const row = rowOf(message, rawFrom, isAlone);
    if (raw) raws.push(...piecesOf(raw));
    rawFrom += raw?.length ?? 0;
    return row;
  });
  return { json: `[${rows.join(',')}]`, raws };
}

/** A body of one of several messages that is bytes; those that are large are stored alone. */
function stringOf(text: BodyText | null, isAlone: boolean): string | null {
  if (text === null || typeof text === 'string') return text;
  return isAlone ? null : bytesOf(text).toString();
}

const { attachments, html, text, ...OTHERS } = EMAIL;

const MEMBERS = {
  others: membersOf(OTHERS),
  bodies: membersOf({ html, text }),
  carried: membersOf(CARRIED),
  arrival: membersOf(ARRIVAL),
};

/** Attachments are JSON already; they are put in as they are. */
function rowOf(message: NewMessage, rawFrom: number, isAlone: boolean): string {
  const { original, trace, counted } = message;
  const row = {
    correlation_id: trace.correlationId,
    traceparent: trace.traceparent,
    message_id: message.messageId,
    ...(original && {
      raw_from: rawFrom,
      raw_bytes: original.object?.sizeBytes ?? original.raw.length,
      ...(original.object && { object_url: original.object.url }),
      sha256: original.sha256.toString('hex'),
    }),
    ...(counted && countOf(counted)),
  };
  const bodies = { html: stringOf(message.html, isAlone), text: stringOf(message.text, isAlone) };
  const json = [JSON.stringify(row).slice(0, -1), MEMBERS.others(message), MEMBERS.bodies(bodies)];
  if (original) json.push(MEMBERS.carried(original));
  if (original?.arrival) json.push(MEMBERS.arrival(original.arrival));
  if (message.attachments.length > 0 && !(isAlone && message.attachmentsJson))
    json.push(`,"${attachments.name}":${attachmentsOf(message)}`);
  return `${json.join('')}}`;
}

function countOf({ keyId, recipients, limits }: UsageCount) {
  return {
    key_id: keyId,
    recipient_count: recipients,
    messages_per_minute: limits.messagesPerMinute,
    recipients_per_minute: limits.recipientsPerMinute,
    messages_per_day: limits.messagesPerDay,
    recipients_per_day: limits.recipientsPerDay,
  };
}

function attachmentsOf(message: NewMessage): string {
  if (message.contentApart) throw new Error('a message whose content is apart is stored alone');
  if (message.attachmentsJson) return Buffer.from(message.attachmentsJson).toString();
  return JSON.stringify(
    message.attachments.map(({ filename, contentType, contentId, size }) => ({
      filename,
      content_type: contentType,
      content_id: contentId,
      size,
    })),
  );
}

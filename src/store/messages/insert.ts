import type pg from 'pg';
import { piecesOf } from '../../message/bytes.ts';
import { type BodyText, bytesOf } from '../../message/text/body-text.ts';
import { type Pieces, queryStreamed, type StreamedValue } from '../../postgres/binary.ts';
import { kept, type Queryable } from '../../postgres/pool.ts';
import type { UsageCount } from '../keys/usage.ts';
import { listForms, suppressedAmong } from '../owners/suppressions.ts';
import { ARRIVAL, CARRIED, EMAIL, membersOf } from './columns.ts';
import type { NewMessage } from './new-message.ts';
import { STORE } from './statement.ts';

export interface InsertOptions {
  /**
   * Write a send job into the outbox, with this many milliseconds for the writer to publish it before others do. 0: it is
   * due at once, and workers that take jobs from the outbox are told.
   */
  readonly outboxLease: number | null;
}

/** What became of messages: one that is in neither was kept out by a limit of its key. */
export interface Inserted {
  /** Ids of those that were stored. */
  readonly stored: ReadonlySet<string>;
  /** Behind the ids of those that suppression lists keep out: which of their addresses are on them. */
  readonly suppressed: ReadonlyMap<string, readonly string[]>;
}

/**
 * Stores messages by one statement, in the transaction of whoever calls it. Either all come with their originals, or none; one whose
 * original is an object comes alone.
 */
export async function insertMessages(
  db: Queryable,
  messages: readonly NewMessage[],
  { outboxLease }: InsertOptions,
): Promise<Inserted> {
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
  return insertedFrom(rows, messages);
}

/** A row of the answer. */
interface Told {
  readonly id: string;
  /** Forms of its addresses that are on a suppression list; null where it was stored. */
  readonly suppressed: readonly string[] | null;
}

function insertedFrom(rows: readonly Told[], messages: readonly NewMessage[]): Inserted {
  const stored = new Set<string>();
  const suppressed = new Map<string, readonly string[]>();
  for (const { id, suppressed: forms } of rows) {
    if (forms === null) stored.add(id);
    else suppressed.set(id, suppressedAmong(messages.find(message => message.id === id)?.suppressible ?? [], forms));
  }
  return { stored, suppressed };
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

function run(db: Queryable, text: string, values: readonly StreamedValue[]): Promise<pg.QueryResult<Told>> {
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

/** Version byte of jsonb's binary form (PostgreSQL, `jsonb_recv`); the JSON text follows. */
const JSONB_VERSION = 1;

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

/**
 * @returns the messages as JSON, as `json_to_recordset` takes it, and what of their originals is in the row: one behind the other, and
 *   their places in there are in the JSON
 */
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
  const { original, trace, counted, suppressible } = message;
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
    ...(suppressible && { suppression_forms: suppressible.flatMap(listForms) }),
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

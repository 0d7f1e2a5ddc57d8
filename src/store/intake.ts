import type pg from 'pg';
import type { Tag } from '../message/control-headers.ts';
import type { AttachmentInfo } from '../message/parts.ts';
import type { TraceContext } from '../observability/trace.ts';
import { Batcher } from './batcher.ts';
import { isUniqueViolation } from './errors.ts';
import { claimIdempotency, type IdempotencyClaim, type IdempotencyOutcome } from './idempotency.ts';
import { OUTBOX_CHANNEL } from './notifications.ts';
import type { Queryable } from './pool.ts';
import { type UntilKnownOptions, untilKnown } from './until-known.ts';

/** A message that is to be stored: the row of `emails`, and what goes beside it. */
export interface NewMessage {
  readonly id: string;
  readonly userId: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly replyTo: readonly string[];
  readonly subject: string;
  readonly text: string | null;
  readonly html: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly attachments: readonly AttachmentInfo[];
  /** `emails.attachments` with contents, as UTF-8 JSON; null stores the descriptions only. */
  readonly attachmentsJson: Uint8Array | null;
  readonly tags: readonly Tag[];
  readonly trace: TraceContext;
  /** Standalone pipeline: what the worker sends. */
  readonly original: OriginalMessage | null;
  readonly idempotency: IdempotencyClaim | null;
}

/** The message as received and its envelope: a row of `smtp_relay_messages`. */
export interface OriginalMessage {
  readonly raw: Buffer;
  readonly sha256: Buffer;
  readonly reversePath: string;
  readonly recipients: readonly string[];
  readonly bodyType: string;
  readonly smtpUtf8: boolean;
  /** The client's Message-ID without its angle brackets. */
  readonly messageId: string | null;
  readonly trackOpens: boolean | null;
  readonly trackClicks: boolean | null;
}

export type StoreOutcome = { readonly kind: 'stored' } | IdempotencyOutcome;

export interface IntakeOptions {
  /**
   * Write a send job into the outbox, with this many milliseconds for the writer to publish it before others do. 0: it is
   * due at once, and workers that take jobs from the outbox are told.
   */
  readonly outboxLease: number | null;
}

const MAX_BATCH = 64;
const MAX_BATCH_BYTES = 1024 * 1024;
/** Two commits overlap, so that the next batch is sent while Postgres flushes the one before. */
const CONCURRENT_COMMITS = 2;
/** Milliseconds. */
const COMMIT_INTERVAL = 5;
/** The driver copies what it sends, so that large messages are sent two at a time to bound memory. */
const CONCURRENT_LARGE = 2;

/**
 * $1: the messages, JSON; $2: their raw bytes, one behind the other; $3: the attachments of the only message, where they
 * are too large to travel in $1; $4: seconds of the lease.
 *
 * A commit that does not wait for its flush to disk would break the promise behind a 250, so a weaker setting of the
 * role or database is overruled for this transaction; a stronger one (remote_apply) stays.
 */
const store = ({ job = '', notify = '' }): string => `
  with durable as materialized (
    select case when current_setting('synchronous_commit') in ('off', 'local', 'remote_write')
                then set_config('synchronous_commit', 'on', true) end${notify}
  ), input as materialized (
    select * from durable, json_to_recordset($1::json) as message (
      id uuid, user_id text, "from" text, "to" jsonb, cc jsonb, bcc jsonb, reply_to jsonb, subject text, html text,
      text text, headers jsonb, attachments jsonb, tags jsonb, correlation_id text, traceparent text, raw_from integer,
      raw_bytes integer, sha256 text, reverse_path text, recipients jsonb, body_type text, smtp_utf8 boolean,
      message_id text, track_opens boolean, track_clicks boolean)
  ), original as (
    insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, body_type, smtp_utf8,
                                     message_id, track_opens, track_clicks)
    select id, case when raw_bytes = length($2::bytea) then $2::bytea else substring($2::bytea from raw_from for raw_bytes) end,
           decode(sha256, 'hex'), raw_bytes, reverse_path, recipients, body_type, smtp_utf8, message_id, track_opens,
           track_clicks
      from input where raw_bytes is not null
  )${job}
  insert into emails (id, user_id, "from", "to", cc, bcc, reply_to, subject, html, text, headers, attachments, tags, status)
  select id, user_id, "from", "to", cc, bcc, reply_to, subject, html, text, headers, coalesce($3::jsonb, attachments), tags,
         'queued'
    from input`;

/** The lease counts from now, not from the beginning of a transaction that may have waited for a lock. */
const OUTBOX = `, job as (
    insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent, leased_until)
    select id, user_id, correlation_id, traceparent, clock_timestamp() + make_interval(secs => $4) from input
  )`;

/** Without a queue, the worker hears of the commit. With one it need not, and the commit is spared the lock of a NOTIFY. */
const NOTIFY = `, pg_notify('${OUTBOX_CHANNEL}', '')`;

const STORE = {
  alone: store({}),
  withJob: store({ job: OUTBOX }),
  withDueJob: store({ job: OUTBOX, notify: NOTIFY }),
};

const COUNT_STORED = 'select count(*)::integer as stored from emails where id = any($1::uuid[])';

/** Version byte of jsonb's binary form (PostgreSQL, `jsonb_recv`); the JSON text follows. */
const JSONB_VERSION = 1;

/**
 * Stores accepted messages: row, original and send job by one statement, so by one commit. Small messages of concurrent
 * sessions share it. What resolves is durable.
 */
export class Intake {
  readonly #pool: pg.Pool;
  readonly #options: IntakeOptions;
  readonly #batcher: Batcher<NewMessage, StoreOutcome>;
  readonly #large: Batcher<NewMessage, StoreOutcome>;

  constructor(pool: pg.Pool, options: IntakeOptions) {
    this.#pool = pool;
    this.#options = options;
    const run = (messages: readonly NewMessage[]): Promise<StoreOutcome[]> => this.#storeTogether(messages);
    this.#batcher = new Batcher({
      run,
      maxItems: MAX_BATCH,
      concurrency: CONCURRENT_COMMITS,
      interval: COMMIT_INTERVAL,
      weigh: sizeOf,
      maxWeight: MAX_BATCH_BYTES,
      isolates: isDataError,
    });
    this.#large = new Batcher({
      run: async ([message]) => (message ? [await this.#storeAlone(message)] : []),
      maxItems: 1,
      concurrency: CONCURRENT_LARGE,
      interval: 0,
    });
  }

  /**
   * A connection lost in the middle leaves open whether the commit was made, so the message is then stored again under
   * its id, which shows whether it was (`untilKnown`). If so, the answer is `repeated`: its job is left to the sweep of
   * the outbox, since others may have taken the lease over.
   *
   * @throws the database's error; nothing of the message is stored, unless the database stayed away after such a loss
   */
  async store(message: NewMessage): Promise<StoreOutcome> {
    if (sizeOf(message) > MAX_BATCH_BYTES) return this.#large.add(message);
    return message.idempotency ? this.#storeAlone(message) : this.#batcher.add(message);
  }

  async #storeAlone(message: NewMessage): Promise<StoreOutcome> {
    const { idempotency } = message;
    if (idempotency) {
      const work = (client: Queryable) => this.#storeOnce(client, message, idempotency);
      return untilKnown(this.#pool, work, UNTIL_KNOWN);
    }
    const [outcome] = await this.#storeTogether([message]);
    return outcome as StoreOutcome;
  }

  /** Repeated by `untilKnown`, it finds its own claim. */
  async #storeOnce(client: Queryable, message: NewMessage, claim: IdempotencyClaim): Promise<StoreOutcome> {
    await client.query('begin');
    const earlier = await claimIdempotency(client, message.userId, claim, message.id);
    if (earlier === null) await this.#insert(client, [message]);
    await client.query('commit');
    return earlier ?? { kind: 'stored' };
  }

  /** All by one statement, so a repeated try finds all of them stored or none. */
  #storeTogether(messages: readonly NewMessage[]): Promise<StoreOutcome[]> {
    const work = async (client: Queryable, repeated: boolean): Promise<StoreOutcome[]> => {
      try {
        await this.#insert(client, messages);
        return messages.map(() => ({ kind: 'stored' }));
      } catch (error) {
        if (!repeated || !isUniqueViolation(error) || !(await areStored(client, messages))) throw error;
        return messages.map(({ id }) => ({ kind: 'repeated', id }));
      }
    };
    return untilKnown(this.#pool, work, UNTIL_KNOWN);
  }

  #insert(db: Queryable, messages: readonly NewMessage[]): Promise<void> {
    return insertMessages(db, messages, this.#options);
  }
}

/** Stores messages by one statement, in the transaction of whoever calls it. */
export async function insertMessages(
  db: Queryable,
  messages: readonly NewMessage[],
  { outboxLease }: IntakeOptions,
): Promise<void> {
  const [first] = messages;
  const attachments = messages.length === 1 && first ? binaryJsonb(first.attachmentsJson) : null;
  const { json, raw } = encode(messages, attachments !== null);
  const lease = outboxLease === null ? [] : [outboxLease / 1000];
  const statement = outboxLease === null ? 'alone' : outboxLease === 0 ? 'withDueJob' : 'withJob';
  await db.query(STORE[statement], [json, raw, attachments, ...lease]);
}

async function areStored(db: Queryable, messages: readonly NewMessage[]): Promise<boolean> {
  const { rows } = await db.query<{ stored: number }>(COUNT_STORED, [messages.map(({ id }) => id)]);
  return rows[0]?.stored === messages.length;
}

/** SQLSTATE classes 22 and 23: the data itself is at fault, and only the message that has it. */
function isDataError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^2[23]/.test(String(error.code));
}

/** A server that restarts or fails over is usually back within ten seconds, and clients wait for minutes. */
const UNTIL_KNOWN: UntilKnownOptions = { isFinal: isDataError, limit: 10_000 };

function sizeOf(message: NewMessage): number {
  const bodies = (message.text?.length ?? 0) + (message.html?.length ?? 0);
  return bodies + (message.attachmentsJson?.length ?? 0) + (message.original?.raw.length ?? 0);
}

function binaryJsonb(json: Uint8Array | null): Buffer | null {
  return json && Buffer.concat([Buffer.of(JSONB_VERSION), json]);
}

function encode(messages: readonly NewMessage[], attachmentsApart: boolean): { json: string; raw: Buffer } {
  let rawFrom = 1;
  const raws: Buffer[] = [];
  const rows = messages.map(message => {
    const raw = message.original?.raw;
    const row = rowOf(message, rawFrom, attachmentsApart);
    if (raw) raws.push(raw);
    rawFrom += raw?.length ?? 0;
    return row;
  });
  const [only] = raws;
  return { json: `[${rows.join(',')}]`, raw: raws.length === 1 && only ? only : Buffer.concat(raws) };
}

/** Attachments are JSON already; they are put in as they are. */
function rowOf(message: NewMessage, rawFrom: number, attachmentsApart: boolean): string {
  const { original, trace } = message;
  const row = JSON.stringify({
    id: message.id,
    user_id: message.userId,
    from: message.from,
    to: message.to,
    cc: orNull(message.cc),
    bcc: orNull(message.bcc),
    reply_to: orNull(message.replyTo),
    subject: message.subject,
    html: message.html,
    text: message.text,
    headers: message.headers,
    tags: orNull(message.tags),
    correlation_id: trace.correlationId,
    traceparent: trace.traceparent,
    ...(original && {
      raw_from: rawFrom,
      raw_bytes: original.raw.length,
      sha256: original.sha256.toString('hex'),
      reverse_path: original.reversePath,
      recipients: original.recipients,
      body_type: original.bodyType,
      smtp_utf8: original.smtpUtf8,
      message_id: original.messageId,
      track_opens: original.trackOpens,
      track_clicks: original.trackClicks,
    }),
  });
  if (attachmentsApart || message.attachments.length === 0) return row;
  return `${row.slice(0, -1)},"attachments":${attachmentsOf(message)}}`;
}

function attachmentsOf(message: NewMessage): string {
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

function orNull<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}

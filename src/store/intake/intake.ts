import type pg from 'pg';
import { Histogram } from 'prom-client';
import { Batcher } from '../../flow/batcher.ts';
import { Abandoned, type Cancellation, confirmAll, NEVER_CANCELLED, whileConfirmed } from '../../flow/cancellation.ts';
import { sizeOfText } from '../../message/text/body-text.ts';
import type { Registry } from '../../observability/metrics.ts';
import { isUniqueViolation, mayBeOneRow, OutcomeUnknown } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { type RepeatableWork, type UntilKnownOptions, untilKnown } from '../../postgres/until-known.ts';
import { exceededLimit, type KeyUsage, readKeyUsage } from '../keys/usage.ts';
import { type Inserted, type InsertOptions, insertMessages } from '../messages/insert.ts';
import type { IdempotencyClaim, NewMessage, StoreOutcome } from '../messages/new-message.ts';
import { claimIdempotency } from './idempotency.ts';

const MAX_BATCH = 64;
const MAX_BATCH_BYTES = 1024 * 1024;
/** Two commits overlap, so that the next batch is sent while Postgres flushes the one before. */
const CONCURRENT_COMMITS = 2;
/** Milliseconds. */
const COMMIT_INTERVAL = 5;
/** Bytes of a message that nobody else's commit should wait for. */
const LARGE = 64 * 1024;
/** Each holds a connection for as long as its bytes take. */
const CONCURRENT_LARGE = 2;

/** A message and whether it is still wanted. */
interface Item {
  readonly message: NewMessage;
  readonly cancellation: Cancellation;
}

/** `unknown`: it was sent to the database once, its connection was lost, and it may not be sent again. */
type Stored = StoreOutcome | { readonly kind: 'unknown' };

const FIND_STORED = 'select id from emails where id = any($1::uuid[])';

/**
 * Stores accepted messages: row, original and send job by one statement, so by one commit. Small messages of concurrent
 * sessions share it. What resolves as `stored` is durable.
 */
export class Intake {
  readonly #pool: pg.Pool;
  readonly #options: InsertOptions;
  readonly #metrics: IntakeMetrics;
  readonly #batcher: Batcher<Item, Stored | null>;
  readonly #large: Batcher<Item, Stored>;

  constructor(pool: pg.Pool, options: InsertOptions, metrics: IntakeMetrics) {
    this.#pool = pool;
    this.#options = options;
    this.#metrics = metrics;
    this.#batcher = new Batcher({
      run: (items, signal) => this.#storeTogether(items, signal),
      maxItems: MAX_BATCH,
      concurrency: CONCURRENT_COMMITS,
      interval: COMMIT_INTERVAL,
      weigh: ({ message }) => sizeOf(message),
      maxWeight: MAX_BATCH_BYTES,
      isolates: mayBeOneRow,
      canLinger,
    });
    this.#large = new Batcher({
      run: async ([item], signal) => (item ? [await this.#storeAlone(item, signal)] : []),
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
   * @param cancellation calls the message off: while it waits at once, and while its statement is under way by cancelling that,
   * where nobody else is held up by it (`Batcher`)
   * @throws the database's error or the reason why the message was called off, and nothing of it is stored; OutcomeUnknown
   * where the database stayed away after such a loss
   */
  async store(message: NewMessage, cancellation: Cancellation = NEVER_CANCELLED): Promise<StoreOutcome> {
    const outcome = await this.#store({ message, cancellation });
    if (outcome.kind === 'unknown') throw new OutcomeUnknown(cancellation.signal.reason);
    return outcome;
  }

  async #store(item: Item): Promise<Stored> {
    const { message, cancellation } = item;
    if (isLarge(message)) return this.#large.add(item, cancellation.signal);
    if (message.idempotency) return this.#storeAlone(item, cancellation.signal);
    return (await this.#batcher.add(item, cancellation.signal)) ?? this.#storeAlone(item, cancellation.signal);
  }

  async #storeAlone(item: Item, signal: AbortSignal): Promise<Stored> {
    const outcome = await this.#tryAlone(item, signal);
    if (outcome !== null) return outcome;
    const usage = await this.#usageOf(item.message);
    // A new minute may have begun since.
    if (usage === null || isWithin(usage, item.message)) {
      const second = await this.#tryAlone(item, signal);
      if (second !== null) return second;
    }
    return { kind: 'over', usage: usage ?? NOTHING_SENT };
  }

  async #usageOf({ counted }: NewMessage): Promise<KeyUsage | null> {
    return counted ? readKeyUsage(this.#pool, counted.keyId) : null;
  }

  /** null where a limit of its key keeps it out. */
  async #tryAlone(item: Item, signal: AbortSignal): Promise<Stored | null> {
    const { idempotency } = item.message;
    if (idempotency) {
      return this.#commit([item], signal, client => this.#storeOnce(client, item.message, idempotency));
    }
    const [outcome] = await this.#storeTogether([item], signal);
    return outcome ?? null;
  }

  /** Repeated by `untilKnown`, it finds its own claim. */
  async #storeOnce(client: Queryable, message: NewMessage, claim: IdempotencyClaim): Promise<StoreOutcome | null> {
    await client.query('begin');
    const earlier = await claimIdempotency(client, message.userId, claim, message.id);
    const outcome = earlier ?? outcomeOf(message, await this.#insert(client, [message]));
    await client.query(earlier || outcome?.kind === 'stored' ? 'commit' : 'rollback');
    return outcome;
  }

  /** One outcome for each, in their order; null for those that a limit of their key keeps out. */
  #storeTogether(items: readonly Item[], signal: AbortSignal): Promise<(Stored | null)[]> {
    const messages = items.map(({ message }) => message);
    const work = async (client: Queryable, repeated: boolean): Promise<(Stored | null)[]> => {
      if (!repeated) return outcomes(messages, await this.#insert(client, messages));
      const again = items.filter(({ cancellation }) => mayBeRepeated(cancellation)).map(({ message }) => message);
      const stored = new Map((await this.#storeAgain(client, again)).map((outcome, index) => [again[index], outcome]));
      return messages.map(message => (stored.has(message) ? (stored.get(message) ?? null) : { kind: 'unknown' }));
    };
    return this.#commit(items, signal, work);
  }

  async #commit<T>(items: readonly Item[], signal: AbortSignal, work: RepeatableWork<T>): Promise<T> {
    const cancellations = items.map(({ cancellation }) => cancellation);
    const times = items.length > 1 ? TOGETHER : ALONE;
    const beforeRepeat = async (): Promise<boolean> => {
      await confirmAll(cancellations);
      return cancellations.some(mayBeRepeated) && !cancellations.every(({ signal }) => signal.aborted);
    };
    return whileConfirmed(cancellations, signal, async cancel => {
      const began = performance.now();
      try {
        return await untilKnown(this.#pool, work, { ...times, signal: cancel, beforeRepeat });
      } finally {
        this.#metrics.committed(items.length, performance.now() - began);
      }
    });
  }

  /** The first try has stored all that were admitted to it, or none. */
  async #storeAgain(client: Queryable, messages: readonly NewMessage[]): Promise<(StoreOutcome | null)[]> {
    try {
      const inserted = await this.#insert(client, messages);
      const others = messages.filter(({ id }) => !inserted.stored.has(id));
      return outcomes(messages, inserted, others.length > 0 ? await findStored(client, others) : NONE);
    } catch (error) {
      const before = isUniqueViolation(error) ? await findStored(client, messages) : NONE;
      if (before.size === 0) throw error;
      const others = messages.filter(({ id }) => !before.has(id));
      return outcomes(messages, others.length > 0 ? await this.#insert(client, others) : NOTHING_INSERTED, before);
    }
  }

  #insert(db: Queryable, messages: readonly NewMessage[]): Promise<Inserted> {
    return insertMessages(db, messages, this.#options);
  }
}

/** Who has gone may stay in the statement of others; who may not send any more may not. */
function canLinger(reason: unknown): boolean {
  return reason instanceof Abandoned;
}

function mayBeRepeated({ signal }: Cancellation): boolean {
  return !signal.aborted || canLinger(signal.reason);
}

const NONE: ReadonlySet<string> = new Set();
const NOTHING_INSERTED: Inserted = { stored: NONE, suppressed: new Map() };

/** Of a key that no row tells of. */
const NOTHING_SENT: KeyUsage = {
  minuteMessages: 0,
  minuteRecipients: 0,
  dayMessages: 0,
  dayRecipients: 0,
  minuteLeft: 60,
  dayLeft: 86_400,
};

function outcomes(
  messages: readonly NewMessage[],
  inserted: Inserted,
  before: ReadonlySet<string> = NONE,
): (StoreOutcome | null)[] {
  return messages.map(message => {
    const { id } = message;
    return before.has(id) ? { kind: 'repeated', id } : outcomeOf(message, inserted);
  });
}

/** null where a limit of its key keeps it out. */
function outcomeOf({ id }: NewMessage, { stored, suppressed }: Inserted): StoreOutcome | null {
  if (stored.has(id)) return { kind: 'stored' };
  const addresses = suppressed.get(id);
  return addresses ? { kind: 'suppressed', addresses } : null;
}

async function findStored(db: Queryable, messages: readonly NewMessage[]): Promise<ReadonlySet<string>> {
  const { rows } = await db.query<{ id: string }>(FIND_STORED, [messages.map(({ id }) => id)]);
  return new Set(rows.map(({ id }) => id));
}

function isWithin(usage: KeyUsage, { counted }: NewMessage): boolean {
  return counted !== undefined && exceededLimit(usage, counted.recipients, counted.limits) === null;
}

/** SQLSTATE classes 22 and 23: the data itself is at fault, and only the message that has it. */
function isDataError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^2[23]/.test(String(error.code));
}

/** A server that restarts or fails over is usually back within ten seconds, and clients wait for minutes. */
const ALONE: UntilKnownOptions = { isFinal: isDataError, limit: 10_000, conflicts: 10 };
/** Of many, one is often in somebody's way; then each is stored on its own. */
const TOGETHER: UntilKnownOptions = { ...ALONE, conflicts: 3 };

/** Bodies that are no strings, and originals that are objects, take a statement that stores nothing else. */
function isLarge(message: NewMessage): boolean {
  return (
    message.original?.object !== undefined ||
    [message.text, message.html].some(body => body instanceof Uint8Array) ||
    sizeOf(message) > LARGE
  );
}

function sizeOf(message: NewMessage): number {
  const bodies = sizeOfText(message.text) + sizeOfText(message.html);
  const headers = lengthOf(Object.values(message.headers));
  // Recipients may be named by the envelope alone, and are in the statement several times.
  const recipients = lengthOf([...message.to, ...message.cc, ...message.bcc]);
  return bodies + headers + recipients + attachmentBytes(message) + (message.original?.raw.length ?? 0);
}

function lengthOf(parts: readonly { readonly length: number }[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

function attachmentBytes({ attachmentsJson, contentApart }: NewMessage): number {
  return (attachmentsJson?.length ?? 0) + lengthOf(contentApart?.content ?? []);
}

export interface IntakeMetrics {
  /** One commit of messages. */
  committed(messages: number, milliseconds: number): void;
}

/** How messages are stored. */
export function createIntakeMetrics(registry: Registry): IntakeMetrics {
  const registers = [registry];
  const messages = new Histogram({
    name: 'smtp_relay_commit_messages',
    help: 'Messages that shared one commit',
    buckets: [1, 2, 4, 8, 16, 32, 64],
    registers,
  });
  const duration = new Histogram({
    name: 'smtp_relay_commit_duration_seconds',
    help: 'Time of one commit of messages, from the statement to the answer, also of those that failed',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    registers,
  });
  return {
    committed(count, milliseconds) {
      messages.observe(count);
      duration.observe(milliseconds / 1000);
    },
  };
}

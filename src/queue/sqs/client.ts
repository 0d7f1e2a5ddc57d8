import type { Logger } from '../../observability/log.ts';
import { MAX_BATCH } from '../jobs.ts';
import type { CallSqs } from './call.ts';

/** A message as the queue has given it out. */
export interface QueueMessage {
  readonly id: string;
  /** Names this delivery of it; a later one has another, and then only that one is sure to work. */
  readonly receipt: string;
  readonly body: string;
  /** How often it was given out before this time. */
  readonly receivedBefore: number;
  readonly group: string | undefined;
}

/** A message that is to be hidden for so many seconds from now. */
export interface Hiding {
  readonly receipt: string;
  readonly seconds: number;
}

/** A call succeeded as a whole, but not for all of its messages. */
export class RefusedMessages extends Error {}

/** The calls to one queue that a receiver makes. @throws RefusedMessages in those for several messages */
export interface SqsCalls {
  receive(limit: number): Promise<QueueMessage[]>;
  delete(receipts: readonly string[]): Promise<void>;
  hide(messages: readonly Hiding[]): Promise<void>;
}

export interface SqsCallsOptions {
  readonly call: CallSqs;
  readonly queueUrl: string;
  /** Seconds for which what is received is hidden from others. */
  readonly visibilityTimeout: number;
  /** Seconds that one call waits for messages. */
  readonly wait: number;
}

/** A message in the answer to ReceiveMessage. */
interface GivenMessage {
  readonly MessageId?: string;
  readonly ReceiptHandle?: string;
  readonly Body?: string;
  readonly Attributes?: { readonly ApproximateReceiveCount?: string; readonly MessageGroupId?: string };
}

/** SQS API reference, ChangeMessageVisibility: twelve hours. */
const LONGEST_HIDING = 43_200;

export function createSqsCalls({ call, queueUrl: QueueUrl, visibilityTimeout, wait }: SqsCallsOptions): SqsCalls {
  return {
    async receive(limit) {
      const { Messages } = await call('ReceiveMessage', {
        QueueUrl,
        MaxNumberOfMessages: Math.min(limit, MAX_BATCH),
        WaitTimeSeconds: wait,
        VisibilityTimeout: visibilityTimeout,
        MessageSystemAttributeNames: ['MessageGroupId', 'ApproximateReceiveCount'],
      });
      const given = Array.isArray(Messages) ? (Messages as readonly GivenMessage[]) : [];
      return given.map(({ MessageId = '', ReceiptHandle = '', Body = '', Attributes }) => ({
        id: MessageId,
        receipt: ReceiptHandle,
        body: Body,
        receivedBefore: Number(Attributes?.ApproximateReceiveCount ?? 1) - 1,
        group: Attributes?.MessageGroupId,
      }));
    },
    async delete(receipts) {
      const Entries = receipts.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
      refuse((await call('DeleteMessageBatch', { QueueUrl, Entries }))['Failed']);
    },
    async hide(messages) {
      const Entries = messages.map(({ receipt, seconds }, index) => ({
        Id: String(index),
        ReceiptHandle: receipt,
        VisibilityTimeout: Math.min(Math.max(0, Math.ceil(seconds)), LONGEST_HIDING),
      }));
      refuse((await call('ChangeMessageVisibilityBatch', { QueueUrl, Entries }))['Failed']);
    },
  };
}

/** @throws RefusedMessages where there are any */
function refuse(failed: unknown): void {
  if (!Array.isArray(failed) || failed.length === 0) return;
  const [first] = failed as readonly { readonly Code?: string; readonly Message?: string }[];
  throw new RefusedMessages(`the queue refused ${failed.length} messages: ${first?.Code}: ${first?.Message}`);
}

interface SqsAnswersOptions {
  readonly calls: Pick<SqsCalls, 'delete' | 'hide'>;
  /** Milliseconds for which an answer waits for others to share its call; nobody waits for it. */
  readonly linger: number;
  readonly logger: Logger;
}

/** Calls of one kind at once. */
const AT_ONCE = 8;

/** Tells the queue what became of its messages: of each by itself, but ten in a call. */
export class SqsAnswers {
  readonly #deletions: Shared<string>;
  readonly #hidings: Shared<Hiding>;

  constructor({ calls, linger, logger }: SqsAnswersOptions) {
    // What is refused comes again by itself: a little later, and what was done is then found to be.
    const onFailure = (error: unknown, messages: number) =>
      logger.debug({ err: error, messages }, 'messages not deleted or given back; they come again');
    this.#deletions = new Shared({ send: receipts => calls.delete(receipts), linger, onFailure });
    this.#hidings = new Shared({ send: hidings => calls.hide(hidings), linger, onFailure });
  }

  delete(receipt: string): void {
    this.#deletions.add(receipt);
  }

  hide(message: Hiding): void {
    this.#hidings.add(message);
  }

  /** Resolves when all has been said. */
  async flush(): Promise<void> {
    await Promise.all([this.#deletions.flush(), this.#hidings.flush()]);
  }
}

interface SharedOptions<T> {
  readonly send: (items: readonly T[]) => Promise<void>;
  readonly linger: number;
  readonly onFailure: (error: unknown, items: number) => void;
}

/** Calls that take up to ten items each. */
class Shared<T> {
  readonly #options: SharedOptions<T>;
  readonly #calls = new Set<Promise<void>>();
  #waiting: T[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SharedOptions<T>) {
    this.#options = options;
  }

  add(item: T): void {
    this.#waiting.push(item);
    this.#pump();
  }

  async flush(): Promise<void> {
    while (this.#waiting.length > 0 || this.#calls.size > 0) {
      this.#pumpAll();
      await Promise.all(this.#calls);
    }
  }

  #pumpAll(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pump(1);
  }

  /** @param least how many are worth a call before they have waited for company */
  #pump(least = MAX_BATCH): void {
    while (this.#waiting.length >= least && this.#calls.size < AT_ONCE) this.#begin(this.#waiting.splice(0, MAX_BATCH));
    if (this.#waiting.length > 0) this.#timer ??= setTimeout(() => this.#pumpAll(), this.#options.linger);
  }

  #begin(items: readonly T[]): void {
    const call = this.#options
      .send(items)
      .catch(error => this.#options.onFailure(error, items.length))
      .finally(() => {
        this.#calls.delete(call);
        this.#pump();
      });
    this.#calls.add(call);
  }
}

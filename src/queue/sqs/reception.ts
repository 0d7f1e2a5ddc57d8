import { once } from 'node:events';
import { Bell } from '../../flow/bell.ts';
import { CircuitBreaker } from '../../flow/circuit-breaker.ts';
import { rest } from '../../flow/loop.ts';
import type { Logger } from '../../observability/log.ts';
import { MAX_BATCH } from '../jobs.ts';
import {
  createSqsCalls,
  type QueueMessage,
  RefusedMessages,
  SqsAnswers,
  type SqsCalls,
  type SqsCallsOptions,
} from './client.ts';

/**
 * What is to become of a message: it is deleted, it stays hidden until its time is over, or it is hidden for so many seconds
 * more, 0 for none.
 */
export type Fate = 'deleted' | 'left' | { readonly hiddenFor: number };

/** Whoever works on messages. */
export interface MessageSink {
  /** How many more messages it takes just now. */
  readonly room: number;
  /** Resolves when there may be room, or the signal comes. */
  whenRoom(signal: AbortSignal): Promise<void>;
  /** @returns of each message, in the same order, what is to become of it. None rejects. */
  take(messages: readonly QueueMessage[]): readonly Promise<Fate>[];
}

interface ReceptionOptions extends SqsCallsOptions {
  /** Calls for messages at once, at most. */
  readonly receivers: number;
  readonly sink: MessageSink;
  /** Said while the queue does not answer. */
  readonly whatIsAway: string;
  readonly logger: Logger;
}

/** Receivers that go on asking an empty queue. */
const AWAKE = 2;
const PAUSES = { firstPause: 250, longestPause: 5_000 };
/** Milliseconds: where less than a whole call's worth of messages has room, there is soon room for more. */
const LINGER_FOR_ROOM = 20;
const LINGER_FOR_ANSWERS = 20;

/**
 * Takes messages from a queue by several receivers, as long as there is room for what they bring. What is received is hidden
 * from others until its fate is known, and each message has a fate of its own.
 */
export class SqsReception {
  readonly #options: ReceptionOptions;
  readonly #calls: SqsCalls;
  readonly #held: HeldMessages;
  readonly #answers: SqsAnswers;
  readonly #breaker: CircuitBreaker;
  readonly #resting: Resting;
  readonly #stopped = new AbortController();
  readonly #answered = new Bell();
  /** What calls under way may bring. */
  #expected = 0;
  #receiving: Promise<unknown> = Promise.resolve();

  constructor(options: ReceptionOptions) {
    const { visibilityTimeout, receivers, whatIsAway, logger } = options;
    this.#options = options;
    this.#calls = createSqsCalls(options);
    this.#held = new HeldMessages({ calls: this.#calls, visibilityTimeout, logger });
    // In a FIFO queue the next messages wait for these.
    const linger = options.queueUrl.endsWith('.fifo') ? 0 : LINGER_FOR_ANSWERS;
    this.#answers = new SqsAnswers({ calls: this.#calls, linger, logger });
    this.#breaker = new CircuitBreaker({ ...PAUSES, logger, what: whatIsAway });
    this.#resting = new Resting(receivers, AWAKE);
  }

  start(): void {
    this.#held.start();
    this.#receiving = Promise.all(Array.from({ length: this.#options.receivers }, () => this.#receiveForever()));
  }

  /** Asks no more. Resolves when the fate of all that was received is known, and the queue was told of it. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#receiving;
    await this.#held.empty();
    await this.#answers.flush();
  }

  /** Never rejects. */
  async #receiveForever(): Promise<void> {
    const { signal } = this.#stopped;
    let wasEmpty = false;
    while (!signal.aborted) {
      await this.#resting.wait(wasEmpty, signal);
      const limit = await this.#reserve();
      try {
        await this.#breaker.passed(signal);
        wasEmpty = !(await this.#receive(limit));
        this.#breaker.succeeded();
      } catch (error) {
        if (!signal.aborted) this.#breaker.failed(error);
      } finally {
        this.#expected -= limit;
        this.#answered.ring();
      }
    }
  }

  /** Waits for room. @returns for how many messages a call may ask */
  async #reserve(): Promise<number> {
    const { sink } = this.#options;
    const { signal } = this.#stopped;
    let hasLingered = false;
    while (!signal.aborted) {
      const room = Math.min(sink.room - this.#expected, MAX_BATCH);
      if (room === MAX_BATCH || (room > 0 && (hasLingered || this.#held.size === 0))) {
        this.#expected += room;
        return room;
      }
      hasLingered = room > 0;
      if (room > 0) await rest(LINGER_FOR_ROOM, signal);
      else if (sink.room > 0) await this.#answered.heard(signal);
      else await sink.whenRoom(signal);
    }
    return 0;
  }

  /** @returns whether there was anything */
  async #receive(limit: number): Promise<boolean> {
    const messages = await this.#calls.receive(limit);
    if (messages.length === 0) return false;
    this.#resting.wakeOne();
    if (this.#stopped.signal.aborted) for (const { receipt } of messages) this.#answers.hide({ receipt, seconds: 0 });
    else this.#take(messages.filter(message => this.#held.add(message)));
    return true;
  }

  #take(messages: readonly QueueMessage[]): void {
    const fates = this.#options.sink.take(messages);
    for (const [index, message] of messages.entries()) void fates[index]?.then(fate => this.#release(message, fate));
  }

  #release(message: QueueMessage, fate: Fate): void {
    const receipt = this.#held.release(message);
    if (fate === 'deleted') this.#answers.delete(receipt);
    else if (fate !== 'left') this.#answers.hide({ receipt, seconds: fate.hiddenFor });
  }
}

interface HeldMessagesOptions {
  readonly calls: Pick<SqsCalls, 'hide'>;
  /** Seconds for which a message stays hidden from others unless that is renewed. */
  readonly visibilityTimeout: number;
  readonly logger: Logger;
}

interface Held {
  /** Of its latest delivery. */
  receipt: string;
  /** On the clock of `performance.now()`. */
  renewedAt: number;
}

/** Calls that renew, at once. */
const AT_ONCE = 4;

/** The messages that were received and are not done with: others do not get them meanwhile. */
class HeldMessages {
  readonly #options: HeldMessagesOptions;
  readonly #held = new Map<string, Held>();
  readonly #emptied = new Bell();
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;

  constructor(options: HeldMessagesOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#held.size;
  }

  /** Begins to renew: whatever is held is renewed when a third of its time is over, and then has two thirds to succeed. */
  start(): void {
    // Each look takes what has become a third old since the last one.
    const interval = (this.#options.visibilityTimeout * 1_000) / 12;
    this.#timer = setInterval(() => this.#look(), interval);
  }

  #look(): void {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined;
    });
  }

  /** @returns false where it is held already: it was given out once more, since it was not renewed in time */
  add({ id, receipt }: QueueMessage): boolean {
    const known = this.#held.get(id);
    // The one object stays: it may be in a call that renews it.
    if (known) Object.assign(known, { receipt, renewedAt: performance.now() });
    else this.#held.set(id, { receipt, renewedAt: performance.now() });
    return known === undefined;
  }

  /** @returns the receipt that the queue knows it by */
  release({ id, receipt }: QueueMessage): string {
    const known = this.#held.get(id);
    this.#held.delete(id);
    if (this.#held.size === 0) this.#emptied.ring();
    return known?.receipt ?? receipt;
  }

  /** Resolves when nothing is held any more, and nothing is renewed. */
  async empty(): Promise<void> {
    while (this.#held.size > 0) await this.#emptied.heard(NEVER);
    clearInterval(this.#timer);
    await this.#renewing;
  }

  /** Never rejects: what is not renewed is tried again soon, and at the worst others get it, too. */
  async #renew(): Promise<void> {
    const before = performance.now() - (this.#options.visibilityTimeout * 1_000) / 3;
    const due = [...this.#held].filter(([, { renewedAt }]) => renewedAt <= before);
    const renewer = async (): Promise<void> => {
      for (let batch = due.splice(0, MAX_BATCH); batch.length > 0; batch = due.splice(0, MAX_BATCH))
        await this.#renewTogether(batch.filter(([id]) => this.#held.has(id)));
    };
    await Promise.all(Array.from({ length: AT_ONCE }, renewer));
  }

  async #renewTogether(batch: readonly [string, Held][]): Promise<void> {
    if (batch.length === 0) return;
    const { calls, visibilityTimeout: seconds, logger } = this.#options;
    const now = performance.now();
    const renewal = calls.hide(batch.map(([, { receipt }]) => ({ receipt, seconds })));
    const error: unknown = await renewal.catch((reason: unknown) => reason);
    // What the queue refuses, it refuses the next time too.
    if (!error || error instanceof RefusedMessages) for (const [, held] of batch) held.renewedAt = now;
    if (error) logger.debug({ err: error, messages: batch.length }, 'messages not renewed yet');
  }
}

const NEVER = new AbortController().signal;

/** Lets receivers of an empty queue rest, but for a few that ask, until one of those finds something. */
class Resting {
  readonly #awake: number;
  /** Receivers that do not rest. */
  #asking: number;
  readonly #beds: AbortController[] = [];

  /** @param awake how many shall ask at any time */
  constructor(receivers: number, awake: number) {
    this.#asking = receivers;
    this.#awake = awake;
  }

  /** Resolves when it is time to ask again: at once, unless the last answer was empty. Also when the signal comes. */
  async wait(empty: boolean, signal: AbortSignal): Promise<void> {
    if (!empty || this.#asking <= this.#awake || signal.aborted) return;
    const bed = new AbortController();
    this.#beds.push(bed);
    this.#asking -= 1;
    await once(AbortSignal.any([bed.signal, signal]), 'abort');
    this.#asking += 1;
  }

  /** Lets one more ask, since there may be more. */
  wakeOne(): void {
    this.#beds.shift()?.abort();
  }
}

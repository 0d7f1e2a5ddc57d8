import { Bell } from '../../flow/bell.ts';
import type { Logger } from '../../observability/log.ts';
import { MAX_BATCH } from '../job-queue.ts';
import { type QueueMessage, RefusedMessages, type SqsCalls } from './calls.ts';

export interface HeldMessagesOptions {
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
export class HeldMessages {
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

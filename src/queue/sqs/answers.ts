import type { Logger } from '../../observability/log.ts';
import { MAX_BATCH } from '../job-queue.ts';
import type { Hiding, SqsCalls } from './calls.ts';

export interface SqsAnswersOptions {
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

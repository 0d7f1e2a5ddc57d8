export interface BatcherOptions<T, R> {
  /** Handles items together; answers in their order, one for each. */
  readonly run: (items: readonly T[]) => Promise<readonly R[]>;
  readonly maxItems: number;
  /**
   * Milliseconds between the beginnings of two batches at least, once callers come together: under load, each round trip
   * then carries more. Callers who come one by one do not wait.
   */
  readonly interval: number;
  /** Batches under way at once; what arrives meanwhile waits and makes the next batch larger. */
  readonly concurrency: number;
  /** An item's weight against `maxWeight`, such as its bytes. */
  readonly weigh?: (item: T) => number;
  readonly maxWeight?: number;
  /** Whether an error may be the fault of one item, so that the others are worth another try each on its own. */
  readonly isolates?: (error: unknown) => boolean;
}

interface Waiting<T, R> {
  readonly item: T;
  readonly resolve: (result: R) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Lets concurrent callers share one statement and one commit. A lone item goes at the end of the current turn of the
 * event loop; batches grow while others are under way or have just begun.
 */
export class Batcher<T, R> {
  readonly #options: BatcherOptions<T, R>;
  #waiting: Waiting<T, R>[] = [];
  #running = 0;
  #scheduled = false;
  #lastBegin = Number.NEGATIVE_INFINITY;
  #lastSize = 0;

  constructor(options: BatcherOptions<T, R>) {
    this.#options = options;
  }

  add(item: T): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0 || this.#running >= this.#options.concurrency) return;
    this.#scheduled = true;
    const begin = (): void => {
      this.#scheduled = false;
      this.#lastBegin = performance.now();
      const batch = this.#take();
      this.#lastSize = batch.length;
      void this.#runBatch(batch);
      this.#schedule();
    };
    const crowded = this.#running > 0 || this.#lastSize > 1;
    const pause = crowded ? this.#lastBegin + this.#options.interval - performance.now() : 0;
    // Timers count whole milliseconds.
    if (pause >= 1) setTimeout(begin, pause);
    else setImmediate(begin);
  }

  #take(): Waiting<T, R>[] {
    const { maxItems, weigh, maxWeight = Number.POSITIVE_INFINITY } = this.#options;
    let count = 0;
    let weight = 0;
    for (const { item } of this.#waiting) {
      weight += weigh?.(item) ?? 0;
      if (count === maxItems || (count > 0 && weight > maxWeight)) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #runBatch(batch: readonly Waiting<T, R>[]): Promise<void> {
    this.#running += 1;
    try {
      const results = await this.#options.run(batch.map(({ item }) => item));
      for (const [index, { resolve }] of batch.entries()) resolve(results[index] as R);
    } catch (error) {
      if (batch.length > 1 && this.#options.isolates?.(error)) await this.#runEach(batch);
      else for (const { reject } of batch) reject(error);
    } finally {
      this.#running -= 1;
      this.#schedule();
    }
  }

  async #runEach(batch: readonly Waiting<T, R>[]): Promise<void> {
    for (const { item, resolve, reject } of batch) {
      await this.#options.run([item]).then(([result]) => resolve(result as R), reject);
    }
  }
}

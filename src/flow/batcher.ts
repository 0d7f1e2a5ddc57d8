import { BatchRun, type Member, patienceOf } from './batch-run.ts';

export interface BatcherOptions<T, R> {
  /**
   * Handles items together; answers in their order, one for each. Where the signal is aborted and nothing came of them, it
   * rejects with the signal's reason; where something did, it answers.
   */
  readonly run: (items: readonly T[], signal: AbortSignal) => Promise<readonly R[]>;
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
  /** Whether an item that was called off for this reason may share a batch a little longer; unless given, it may. */
  readonly canLinger?: (reason: unknown) => boolean;
  /** Milliseconds for which a batch is not cancelled for the sake of some of its items (`patienceOf`); a second unless given. */
  readonly patience?: number;
}

const PATIENCE = 1_000;

interface Waiting<T, R> extends Member {
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
  readonly #canLinger: (reason: unknown) => boolean;
  #waiting: Waiting<T, R>[] = [];
  #running = 0;
  #scheduled = false;
  #lastBegin = Number.NEGATIVE_INFINITY;
  #lastSize = 0;

  constructor(options: BatcherOptions<T, R>) {
    this.#options = options;
    this.#canLinger = options.canLinger ?? (() => true);
  }

  /**
   * @param signal calls the item off. While it waits, it is left out at once; once under way, its batch is cancelled and run
   * again without it (`BatchRun`)
   * @throws the signal's reason where nothing came of the item
   */
  add(item: T, signal?: AbortSignal): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      signal?.throwIfAborted();
      const entry: Waiting<T, R> = { item, signal, run: null, resolve, reject };
      signal?.addEventListener('abort', () => this.#callOff(entry), { once: true });
      this.#waiting.push(entry);
      this.#schedule();
    });
  }

  #callOff(entry: Waiting<T, R>): void {
    if (entry.run) {
      entry.run.left(entry.signal?.reason);
      return;
    }
    const index = this.#waiting.indexOf(entry);
    if (index === -1) return;
    this.#waiting.splice(index, 1);
    entry.reject(entry.signal?.reason);
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
    let left = batch;
    try {
      for (let run = 0; left.length > 0; run++) left = await this.#runOnce(left, run);
    } finally {
      this.#running -= 1;
      this.#schedule();
    }
  }

  /** @returns those that are to be run again, since the batch was cancelled for others' sake */
  async #runOnce(batch: readonly Waiting<T, R>[], time: number): Promise<readonly Waiting<T, R>[]> {
    const run = new BatchRun(batch, patienceOf(time, this.#options.patience ?? PATIENCE), this.#canLinger);
    try {
      const results = await this.#options.run(
        batch.map(({ item }) => item),
        run.signal,
      );
      for (const [index, { resolve }] of batch.entries()) resolve(results[index] as R);
    } catch (error) {
      if (run.wasCancelledBy(error)) return stay(batch);
      if (batch.length > 1 && this.#options.isolates?.(error)) await this.#runEach(batch);
      else for (const { reject } of batch) reject(error);
    } finally {
      run.end();
    }
    return [];
  }

  async #runEach(batch: readonly Waiting<T, R>[]): Promise<void> {
    for (const entry of batch) {
      for (const alone of stay([entry])) await this.#runOnce([alone], 0);
    }
  }
}

/** Rejects those that were called off. @returns the others */
function stay<T, R>(batch: readonly Waiting<T, R>[]): readonly Waiting<T, R>[] {
  for (const { signal, reject } of batch) if (signal?.aborted) reject(signal.reason);
  return batch.filter(({ signal }) => !signal?.aborted);
}

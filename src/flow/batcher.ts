export interface BatcherOptions<T, R> {
  /**
   * Handles items together; answers in their order, one for each. Where the signal is aborted and nothing came of them, it
   * rejects with the signal's reason; where something did, it answers.
   */
  readonly run: (items: readonly T[], signal: AbortSignal) => Promise<readonly R[]>;
  readonly maxItems: number;
  /**
   * Milliseconds between the beginnings of two batches at least, once callers come together: under load, each round trip
   * then carries more. Behind a batch of less than `MANY` it is less in proportion, since there is less to gain. Callers who
   * come one by one do not wait.
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
/** Items that are worth the whole interval. */
const MANY = 24;

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
    const apart = this.#options.interval * Math.min(1, this.#lastSize / MANY);
    const pause = crowded ? this.#lastBegin + apart - performance.now() : 0;
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

/** An item of a batch. */
interface Member {
  /** Calls it off. */
  readonly signal: AbortSignal | undefined;
  /** The batch that it is in just now; null while it waits, and afterwards. */
  run: BatchRun | null;
}

/** So often a batch is run again before its patience grows: most clients that go do so together, or soon after one another. */
const EARLY_RUNS = 4;

/**
 * For how long a run of a batch is left alone by items that are called off, in milliseconds: the first for `patience`, later
 * ones for longer and longer. Those who stay are held up for little more than twice the time of their statement, whoever leaves
 * them and when.
 *
 * @param run the how manieth it is, from 0
 */
function patienceOf(run: number, patience: number): number {
  return patience * 2 ** Math.max(0, run - EARLY_RUNS + 1);
}

class Cancelled extends Error {
  override readonly name = 'Cancelled';
}

/**
 * One run of a batch, and whether it is still worth while: it is cancelled at once where all items are called off, or one that
 * may not linger, and once its patience is over where any is.
 */
class BatchRun {
  readonly #members: readonly Member[];
  readonly #canLinger: (reason: unknown) => boolean;
  readonly #controller = new AbortController();
  readonly #patientUntil: number;
  #reason: Cancelled | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(members: readonly Member[], patience: number, canLinger: (reason: unknown) => boolean) {
    this.#members = members;
    this.#canLinger = canLinger;
    this.#patientUntil = performance.now() + patience;
    for (const member of members) member.run = this;
  }

  /** Aborted where the run is to be cancelled. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** A member has been called off. */
  left(reason: unknown): void {
    const rest = this.#patientUntil - performance.now();
    if (rest <= 0 || !this.#canLinger(reason) || this.#members.every(({ signal }) => signal?.aborted)) this.#cancel();
    else this.#timer ??= setTimeout(() => this.#cancel(), rest);
  }

  #cancel(): void {
    this.#reason ??= new Cancelled('the batch is cancelled');
    this.#controller.abort(this.#reason);
  }

  /** Whether the run came to nothing since it was cancelled. */
  wasCancelledBy(error: unknown): boolean {
    return error !== null && error === this.#reason;
  }

  end(): void {
    clearTimeout(this.#timer);
    for (const member of this.#members) member.run = null;
  }
}

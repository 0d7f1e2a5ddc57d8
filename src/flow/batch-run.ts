/** An item of a batch. */
export interface Member {
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
export function patienceOf(run: number, patience: number): number {
  return patience * 2 ** Math.max(0, run - EARLY_RUNS + 1);
}

class Cancelled extends Error {
  override readonly name = 'Cancelled';
}

/**
 * One run of a batch, and whether it is still worth while: it is cancelled at once where all items are called off, or one that
 * may not linger, and once its patience is over where any is.
 */
export class BatchRun {
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

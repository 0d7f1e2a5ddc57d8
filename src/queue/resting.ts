import { once } from 'node:events';

/** Lets receivers of an empty queue rest, but for a few that ask, until one of those finds something. */
export class Resting {
  readonly #awake: number;
  /** Receivers that neither rest nor work. */
  #asking: number;
  readonly #beds: AbortController[] = [];

  /** @param awake how many shall ask at any time, beside those that work */
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

  /** Lets one receiver work, and another ask in its place. */
  async whileWorking<T>(work: () => Promise<T>): Promise<T> {
    this.#asking -= 1;
    this.#beds.shift()?.abort();
    try {
      return await work();
    } finally {
      this.#asking += 1;
    }
  }
}

import { once } from 'node:events';

/** Lets receivers of an empty queue rest, all but a few, until one of those finds something. */
export class Resting {
  readonly #most: number;
  readonly #beds: AbortController[] = [];

  /** @param most how many may rest at the same time */
  constructor(most: number) {
    this.#most = most;
  }

  /** Resolves when it is time to ask again: at once, unless the last answer was empty. Also when the signal comes. */
  async wait(empty: boolean, signal: AbortSignal): Promise<void> {
    if (!empty || this.#beds.length >= this.#most || signal.aborted) return;
    const bed = new AbortController();
    this.#beds.push(bed);
    await once(AbortSignal.any([bed.signal, signal]), 'abort');
  }

  wakeOne(): void {
    this.#beds.shift()?.abort();
  }
}

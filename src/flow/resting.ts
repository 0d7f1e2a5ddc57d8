import { once } from 'node:events';

/** Lets receivers of an empty queue rest, but for a few that ask, until one of those finds something. */
export class Resting {
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

import { rest } from './loop.ts';

export interface RetryOptions {
  /** Nobody waits any longer. */
  readonly signal: AbortSignal;
  /** Milliseconds until the next try; null where trying again would not change the error. */
  readonly pauseAfter: (error: unknown) => number | null;
}

/**
 * Runs work until it succeeds.
 *
 * @throws the last error at the signal, and any error behind which there is no next try
 */
export async function retry<T>(work: () => Promise<T>, { signal, pauseAfter }: RetryOptions): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const pause = signal.aborted ? null : pauseAfter(error);
      if (pause === null) throw error;
      await rest(pause, signal);
    }
  }
}

/** Pauses in milliseconds, each twice as long as the one before, up to the longest. */
export class Pauses {
  readonly #first: number;
  readonly #longest: number;
  #coming: number;

  constructor({ first, longest }: { readonly first: number; readonly longest: number }) {
    this.#first = first;
    this.#longest = longest;
    this.#coming = first;
  }

  get coming(): number {
    return this.#coming;
  }

  next(): number {
    const pause = this.#coming;
    this.#coming = Math.min(pause * 2, this.#longest);
    return pause;
  }

  reset(): void {
    this.#coming = this.#first;
  }
}

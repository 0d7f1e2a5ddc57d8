import type { Logger } from '../observability/log.ts';
import { rest } from './loop.ts';

export interface CircuitBreakerOptions {
  readonly logger: Logger;
  /** Said at the first failure, and once more with `is over` behind it. */
  readonly what: string;
  /** Milliseconds; the pause doubles with each failure. */
  readonly firstPause: number;
  readonly longestPause: number;
}

/** Lets nobody through for a while after a failure, and then one at a time until somebody succeeds. */
export class CircuitBreaker {
  readonly #options: CircuitBreakerOptions;
  #pause = 0;
  #pausedUntil = 0;
  /** Somebody was let through, and nothing is heard of it yet. */
  #trying = false;
  #recovered = new AbortController();

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  /** Whether the last try that is heard of has failed. */
  get isOn(): boolean {
    return this.#pause > 0;
  }

  /** Resolves when the next try may be made; at once where nothing is wrong. Rejects when the signal comes. */
  async passed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (this.#pause > 0) {
      const pause = this.#pausedUntil - performance.now();
      if (pause <= 0) {
        // The others wait for what becomes of this one.
        this.#trying = true;
        this.#pausedUntil = performance.now() + this.#pause;
        return;
      }
      const either = AbortSignal.any([signal, this.#recovered.signal]);
      await rest(pause, either);
      signal.throwIfAborted();
    }
  }

  failed(error: unknown): void {
    const { logger, what, firstPause, longestPause } = this.#options;
    if (this.#pause === 0) {
      logger.warn({ err: error }, what);
      this.#recovered = new AbortController();
      this.#pause = firstPause;
    } else if (this.#trying) {
      // Calls that were under way together fail together, which is one failure.
      this.#pause = Math.min(this.#pause * 2, longestPause);
    }
    this.#trying = false;
    this.#pausedUntil = performance.now() + this.#pause;
  }

  succeeded(): void {
    if (this.#pause === 0) return;
    this.#pause = 0;
    this.#trying = false;
    this.#options.logger.info(`${this.#options.what}: is over`);
    this.#recovered.abort();
  }
}

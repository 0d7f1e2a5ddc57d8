/** Time, as the limiter needs it; a test has its own. */
export interface Clock {
  /** Milliseconds; never goes back. */
  now(): number;
  /** @returns what calls it off */
  after(milliseconds: number, run: () => void): () => void;
}

interface Waiting {
  readonly cost: number;
  readonly admit: () => void;
}

/** What is left of the rate after SES has said that it was too much; once a second at most, however many calls heard it. */
const DECREASE = 0.7;
const DECREASE_INTERVAL = 1_000;
const LOWEST_FACTOR = 0.02;
/** How much of the full rate comes back in a second: all of it within less than a minute. */
const RECOVERY = 0.02;
/** No rate at all would be a standstill for ever. */
const LOWEST_RATE = 0.01;
const SECOND = 1_000;
/** Recipients: less is an error of rounding. */
const ROUNDING = 1e-6;

/**
 * A token bucket: so many recipients a second, and at most one second's worth of them at once after a pause. Who asks first
 * goes first, also where the first wants many and the next only one.
 *
 * Throttling lowers the rate at once and by a factor; it comes back slowly and in even steps, which is how workers that do
 * not know of each other arrive at fair shares (additive increase, multiplicative decrease).
 */
export class SendRate {
  readonly #clock: Clock;
  readonly #waiting: Waiting[] = [];
  #full: number;
  #factor = 1;
  #tokens: number;
  #countedAt: number;
  #decreasedAt = Number.NEGATIVE_INFINITY;
  #cancelTimer: (() => void) | null = null;

  /** @param rate recipients a second */
  constructor(rate: number, clock: Clock = SYSTEM_CLOCK) {
    this.#clock = clock;
    this.#full = Math.max(rate, LOWEST_RATE);
    this.#tokens = this.#capacity;
    this.#countedAt = clock.now();
  }

  /** Recipients a second just now. */
  get current(): number {
    this.#refill();
    return this.#full * this.#factor;
  }

  /** @param rate recipients a second while nothing is throttled */
  setRate(rate: number): void {
    const full = Math.max(rate, LOWEST_RATE);
    if (full === this.#full) return;
    this.#refill();
    const before = this.#capacity;
    this.#full = full;
    // Half of what may be saved up stays half of it; what is owed stays as it is.
    if (this.#tokens > 0) this.#tokens *= this.#capacity / before;
    this.#pump();
  }

  /** A call was refused because there were too many. */
  throttled(): void {
    this.#refill();
    this.#tokens = Math.min(this.#tokens, 0);
    const now = this.#clock.now();
    if (now - this.#decreasedAt >= DECREASE_INTERVAL) {
      this.#decreasedAt = now;
      this.#factor = Math.max(this.#factor * DECREASE, LOWEST_FACTOR);
    }
    this.#pump();
  }

  /**
   * Waits until a call for so many recipients may be made. More than one second's worth of them go when a whole second's
   * worth is there, and those who come after wait the longer.
   *
   * @throws the signal's reason
   */
  take(recipients: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        this.#pump();
        reject(signal.reason);
      };
      const admit = () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const waiting = { cost: recipients, admit };
      signal.addEventListener('abort', onAbort, { once: true });
      this.#waiting.push(waiting);
      if (this.#waiting.length === 1) this.#pump();
    });
  }

  /** Milliseconds until `takeNow` may take so many; 0: now. */
  waitFor(recipients: number): number {
    this.#refill();
    const ahead = this.#waiting.reduce((sum, { cost }) => sum + cost, 0);
    const missing = ahead + Math.min(recipients, this.#capacity) - this.#tokens;
    return missing > ROUNDING ? Math.ceil((missing / (this.#full * this.#factor)) * SECOND) : 0;
  }

  /** Right after `waitFor` has said 0. */
  takeNow(recipients: number): void {
    this.#tokens -= recipients;
  }

  /** What may be saved up. */
  get #capacity(): number {
    return Math.max(1, this.#full * this.#factor);
  }

  #refill(): void {
    const now = this.#clock.now();
    const seconds = (now - this.#countedAt) / SECOND;
    this.#countedAt = now;
    this.#factor = Math.min(1, this.#factor + seconds * RECOVERY);
    this.#tokens = Math.min(this.#capacity, this.#tokens + seconds * this.#full * this.#factor);
  }

  #pump(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#refill();
    for (let first = this.#waiting[0]; first; first = this.#waiting[0]) {
      const missing = Math.min(first.cost, this.#capacity) - this.#tokens;
      if (missing > ROUNDING) {
        this.#wakeAfter(missing);
        return;
      }
      this.#tokens -= first.cost;
      this.#waiting.shift();
      first.admit();
    }
  }

  #wakeAfter(missing: number): void {
    const milliseconds = Math.ceil((missing / (this.#full * this.#factor)) * SECOND);
    this.#cancelTimer = this.#clock.after(milliseconds, () => this.#pump());
  }
}

const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after(milliseconds, run) {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  },
};

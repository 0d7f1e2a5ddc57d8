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
 * A token bucket: so many recipients a second, and at most one second's worth of them at once after a pause. More than that go when a
 * whole second's worth is there, and those who come after wait the longer.
 *
 * Throttling lowers the rate at once and by a factor; it comes back slowly and in even steps, which is how workers that do
 * not know of each other arrive at fair shares (additive increase, multiplicative decrease).
 */
export class SendRate {
  readonly #now: () => number;
  #full: number;
  #factor = 1;
  #tokens: number;
  #countedAt: number;
  #decreasedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param rate recipients a second
   * @param now a monotonic clock in milliseconds
   */
  constructor(rate: number, now: () => number = () => performance.now()) {
    this.#now = now;
    this.#full = Math.max(rate, LOWEST_RATE);
    this.#tokens = this.#capacity;
    this.#countedAt = now();
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
  }

  /** A call was refused because there were too many. */
  throttled(): void {
    this.#refill();
    this.#tokens = Math.min(this.#tokens, 0);
    const now = this.#now();
    if (now - this.#decreasedAt < DECREASE_INTERVAL) return;
    this.#decreasedAt = now;
    this.#factor = Math.max(this.#factor * DECREASE, LOWEST_FACTOR);
  }

  /** Milliseconds until a call for so many recipients may be made; 0: now. */
  waitFor(recipients: number): number {
    this.#refill();
    const missing = Math.min(recipients, this.#capacity) - this.#tokens;
    return missing > ROUNDING ? Math.ceil((missing / (this.#full * this.#factor)) * SECOND) : 0;
  }

  /** Right after `waitFor` has said 0. */
  take(recipients: number): void {
    this.#tokens -= recipients;
  }

  /** What may be saved up. */
  get #capacity(): number {
    return Math.max(1, this.#full * this.#factor);
  }

  #refill(): void {
    const now = this.#now();
    const seconds = (now - this.#countedAt) / SECOND;
    this.#countedAt = now;
    this.#factor = Math.min(1, this.#factor + seconds * RECOVERY);
    this.#tokens = Math.min(this.#capacity, this.#tokens + seconds * this.#full * this.#factor);
  }
}

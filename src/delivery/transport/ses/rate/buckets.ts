import type { Logger } from '../../../../observability/log.ts';
import type { KnownRate, RateKey, SharedSendRates } from '../../../../store/delivery/send-rates.ts';

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

/** Where workers take from together (`store/delivery/send-rates.ts`). */
export type RateStore = Pick<SharedSendRates, 'take' | 'throttle' | 'beginAsking' | 'note' | 'read'>;

export interface SharedRateOptions {
  readonly store: Pick<RateStore, 'take' | 'throttle'>;
  readonly key: RateKey;
  /** Recipients a second where SES has not said. */
  readonly fallback: number;
  /** Recipients a second, whatever SES says; null: as it says. */
  readonly fixed: number | null;
  readonly liveWorkers: () => number;
  /** What others have made known of the account. */
  readonly onKnown: (known: KnownRate) => void;
  readonly logger: Logger;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
}

/** Seconds' worth of the whole rate that all workers together take ahead: more would keep a newcomer waiting. */
const AHEAD = 0.2;
/** Recipients that are taken ahead at most: what is not used of them counts towards the day's quota until SES is asked again. */
const MOST_AHEAD = 100;
/** Milliseconds for which Postgres is taken to answer. */
const ANSWER = 3;
/** Milliseconds for which what was taken may be used. What nobody uses by then, the account has not sent. */
const GOOD_FOR = 2_000;
/** Milliseconds for which the database is left alone after it has failed. */
const PAUSE = 5_000;

/**
 * This worker's part of a rate that all take from, a little at a time and as they need it: what one does not use is there for the
 * others. Where several want more than there is, they have their turn one after the other.
 */
export class SharedRate {
  readonly #options: SharedRateOptions;
  /** What was taken and may be used. */
  #ready = 0;
  #readyUntil = 0;
  /** What was taken and may be used from a moment on. */
  #coming: { readonly recipients: number; readonly from: number } | null = null;
  #calls = 0;
  /** How often what was taken was dropped. */
  #drops = 0;
  #failedAt = Number.NEGATIVE_INFINITY;
  #rate: number;

  constructor(options: SharedRateOptions) {
    this.#options = options;
    this.#rate = options.fixed ?? options.fallback;
  }

  /** Whether the others cannot be asked just now. */
  get isAlone(): boolean {
    return this.#options.now() - this.#failedAt < PAUSE;
  }

  /** Recipients a second that all workers may send to just now. */
  get current(): number {
    return this.#rate;
  }

  /** Milliseconds until so many may be used, as far as that is known; 0: now. */
  waitFor(recipients: number): number {
    const now = this.#options.now();
    this.#ripen(now);
    if (this.#ready >= recipients) return 0;
    if (this.#coming) return Math.max(1, Math.ceil(this.#coming.from - now));
    if (this.#calls === 0) void this.#ask(recipients - this.#ready);
    return ANSWER;
  }

  take(recipients: number): void {
    this.#ready -= recipients;
  }

  /** Drops what was taken, and slows all workers. */
  async throttled(): Promise<void> {
    const { store, key } = this.#options;
    this.#ready = 0;
    this.#coming = null;
    this.#drops += 1;
    await this.#exchange(() => store.throttle(key));
  }

  #ripen(now: number): void {
    if (now >= this.#readyUntil) this.#ready = Math.min(this.#ready, 0);
    if (this.#coming === null || now < this.#coming.from) return;
    this.#readyUntil = this.#coming.from + GOOD_FOR;
    if (now < this.#readyUntil) this.#ready += this.#coming.recipients;
    this.#coming = null;
  }

  /** Never rejects. */
  async #ask(missing: number): Promise<void> {
    const { store, key, fallback, fixed, liveWorkers, now } = this.#options;
    const ahead = Math.min(MOST_AHEAD, Math.floor((this.#rate * AHEAD) / Math.max(1, liveWorkers())));
    const recipients = Math.max(missing, ahead);
    const drops = this.#drops;
    const granted = await this.#exchange(() => store.take(key, recipients, fallback, fixed));
    if (granted && drops === this.#drops) this.#coming = { recipients, from: now() + granted.waitMs };
  }

  /** Never rejects. */
  async #exchange<T extends KnownRate>(call: () => Promise<T>): Promise<T | null> {
    const { onKnown, logger, fallback, fixed, now } = this.#options;
    this.#calls += 1;
    try {
      const known = await call();
      this.#rate = (fixed ?? known.rate ?? fallback) * known.factor;
      onKnown(known);
      return known;
    } catch (error) {
      this.#failedAt = now();
      logger.warn(
        { err: error, region: this.#options.key.region },
        'the send rate is not shared while the database is away',
      );
      return null;
    } finally {
      this.#calls -= 1;
    }
  }
}

import { createHash } from 'node:crypto';
import { rest } from '../../../../flow/loop.ts';
import type { Logger } from '../../../../observability/log.ts';
import type { AccountQuota, KnownRate } from '../../../../store/delivery/send-rates.ts';
import type { SendAllowance } from '../../contract.ts';
import type { SesMetrics } from '../metrics.ts';
import { type RateStore, SendRate, SharedRate } from './buckets.ts';
import { DailyQuota, type DailyQuotaOptions } from './daily-quota.ts';

interface AccountRateOptions extends DailyQuotaOptions {
  readonly liveWorkers: () => number;
}

/**
 * Recipients a second where the account's quota cannot be asked for (ses:GetAccount is not allowed, for instance): what SES
 * gives an account that has just left the sandbox. `ses.sendRate` says it better.
 */
export const DEFAULT_RATE = 14;
/** Milliseconds between two looks at who is asked for the first time, and where nothing of the day's quota is left. */
const FIRST_LOOK = 10;
const QUOTA_LOOK = 1_000;

/** What one account may send in one region: shared with the other workers, and by this worker's part where that cannot be. */
class AccountRate implements SendAllowance {
  readonly #options: AccountRateOptions;
  readonly #shared: SharedRate | null;
  readonly #own: SendRate;
  readonly #daily: DailyQuota;
  /** Who waits, in this order, goes before all who ask. */
  #last: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(options: AccountRateOptions) {
    const { key, store, fixedRate, liveWorkers, logger, now, metrics } = options;
    this.#options = options;
    this.#daily = new DailyQuota(options);
    const onKnown = (known: KnownRate) => this.#daily.hear(known);
    const fixed = fixedRate || null;
    const shared = { store, key, fallback: DEFAULT_RATE, fixed, liveWorkers, onKnown, logger, now };
    this.#shared = store ? new SharedRate({ ...shared, store }) : null;
    this.#own = new SendRate(this.#part, now);
    metrics?.throttled.inc({ region: key.region }, 0);
    metrics?.atScrapes(() => this.#daily.keep());
  }

  waitFor(recipients: number): number {
    this.#daily.keep();
    return this.#waiting > 0 ? Math.max(1, this.#wait(recipients)) : this.#wait(recipients);
  }

  take(recipients: number): void {
    const source = this.#source;
    source.take(recipients);
    this.#daily.taken(recipients);
    this.#options.metrics?.sendRate.set({ region: this.#options.key.region }, source.current);
  }

  throttled(): void {
    const { metrics, key } = this.#options;
    metrics?.throttled.inc({ region: key.region });
    this.#own.throttled();
    void this.#shared?.throttled();
  }

  get quotaLeft(): number | null {
    this.#daily.keep();
    return this.#daily.left;
  }

  /** Waits until a call for so many recipients may be made, one after the other. @throws the signal's reason */
  async admit(recipients: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const mine = Promise.withResolvers<void>();
    const before = this.#last;
    this.#last = before.then(() => mine.promise);
    this.#waiting += 1;
    try {
      await orAborted(before, signal);
      await this.#admitNow(recipients, signal);
    } finally {
      this.#waiting -= 1;
      mine.resolve();
    }
  }

  async #admitNow(recipients: number, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      this.#daily.keep();
      const milliseconds = this.#wait(recipients);
      if (milliseconds === 0) break;
      await rest(milliseconds, signal);
    }
    this.take(recipients);
  }

  #wait(recipients: number): number {
    // The first wait for what SES says of the account: its rate may be a fraction of what would be supposed.
    if (!this.#daily.isKnown) return FIRST_LOOK;
    if (this.#daily.left === 0) return QUOTA_LOOK;
    return this.#source.waitFor(recipients);
  }

  get #source(): SharedRate | SendRate {
    if (this.#shared && !this.#shared.isAlone) return this.#shared;
    this.#own.setRate(this.#part);
    return this.#own;
  }

  /** This worker's, where each has the same. */
  get #part(): number {
    const { fixedRate, liveWorkers } = this.#options;
    return (fixedRate || (this.#daily.rate ?? DEFAULT_RATE)) / Math.max(1, liveWorkers());
  }
}

/** @throws the signal's reason */
function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    void promise.then(() => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
  });
}

export interface SendRatesDependencies {
  /** Asks what the account may send in a region. */
  readonly quota: (region: string) => Promise<AccountQuota>;
  /** Recipients a second over all workers, instead of what the account may; 0: what it may. */
  readonly fixedRate: number;
  /** What tells the account from others that this worker has, without secrets. */
  readonly account?: string;
  /** The same in metrics. */
  readonly accountLabel?: string;
  /** Where workers take from together; left out, each has its part by their number. */
  readonly store?: RateStore;
  readonly liveWorkers: () => number;
  readonly metrics?: SesMetrics;
  readonly logger: Logger;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** What one account may send, by region. */
export class SendRates {
  readonly #dependencies: SendRatesDependencies;
  readonly #regions = new Map<string, AccountRate>();

  constructor(dependencies: SendRatesDependencies) {
    this.#dependencies = dependencies;
  }

  /** What may be sent in a region just now. */
  allowance(region: string): SendAllowance {
    return this.#region(region);
  }

  /** Waits until a call for so many recipients may be made, before all who only ask. @throws the signal's reason */
  take(region: string, recipients: number, signal: AbortSignal): Promise<void> {
    return this.#region(region).admit(recipients, signal);
  }

  #region(name: string): AccountRate {
    const known = this.#regions.get(name);
    if (known) return known;
    const {
      account = '',
      accountLabel = 'default',
      quota,
      now = () => performance.now(),
      ...rest
    } = this.#dependencies;
    const rate = new AccountRate({
      ...rest,
      key: { region: name, account: createHash('sha256').update(account).digest('hex').slice(0, 32) },
      accountLabel,
      quota: () => quota(name),
      now,
    });
    this.#regions.set(name, rate);
    return rate;
  }
}

import { createHash } from 'node:crypto';
import type { Logger } from '../../../../observability/log.ts';
import type { AccountQuota } from '../../../../store/delivery/send-rates.ts';
import type { SendAllowance } from '../../send-allowance.ts';
import type { SesMetrics } from '../metrics.ts';
import { AccountRate } from './account.ts';
import type { RateStore } from './shared.ts';

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

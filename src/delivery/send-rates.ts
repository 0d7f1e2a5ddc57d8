import type { Logger } from '../observability/log.ts';
import type { SendAllowance } from './send-allowance.ts';
import { SendRate } from './send-rate.ts';
import type { SesMetrics } from './ses-metrics.ts';

export interface SendRatesDependencies {
  /** Asks what the account may send in a region: recipients a second; null where the answer does not say. */
  readonly quota: (region: string) => Promise<number | null>;
  /** Recipients a second over all workers, instead of the quota; 0: the quota. */
  readonly fixedRate: number;
  readonly liveWorkers: () => number;
  readonly metrics?: SesMetrics;
  readonly logger: Logger;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

interface Region {
  readonly limiter: SendRate;
  readonly allowance: SendAllowance;
  /** Of all workers together. */
  rate: number;
  asked: Promise<void>;
  askAgainAt: number;
}

/**
 * Recipients a second where the account's quota cannot be asked for (ses:GetAccount is not allowed, for instance): what SES
 * gives an account that has just left the sandbox. `ses.sendRate` says it better.
 */
export const DEFAULT_RATE = 14;
const REFRESH = 5 * 60_000;
const REFRESH_AFTER_FAILURE = 30_000;

/** This worker's share of the send rate of each SES region: the account's rate divided by the workers that live. */
export class SendRates {
  readonly #dependencies: SendRatesDependencies;
  readonly #now: () => number;
  readonly #regions = new Map<string, Region>();

  constructor(dependencies: SendRatesDependencies) {
    this.#dependencies = dependencies;
    this.#now = dependencies.now ?? (() => performance.now());
  }

  /** Waits until a call for so many recipients may be made. @throws the signal's reason */
  async take(name: string, recipients: number, signal: AbortSignal): Promise<void> {
    const region = this.#region(name);
    await region.asked;
    region.limiter.setRate(this.#share(region));
    this.#dependencies.metrics?.sendRate.set({ region: name }, region.limiter.current);
    await region.limiter.take(recipients, signal);
  }

  /** What may be sent in a region. */
  allowance(name: string): SendAllowance {
    return this.#region(name).allowance;
  }

  /** SES said that there were too many calls. */
  throttled(name: string): void {
    this.#dependencies.metrics?.throttled.inc({ region: name });
    this.#region(name).limiter.throttled();
  }

  #share({ rate }: Region): number {
    return rate / Math.max(1, this.#dependencies.liveWorkers());
  }

  #region(name: string): Region {
    const { fixedRate } = this.#dependencies;
    let region = this.#regions.get(name);
    if (!region) {
      const rate = fixedRate || DEFAULT_RATE;
      const limiter = new SendRate(rate / Math.max(1, this.#dependencies.liveWorkers()));
      region = {
        limiter,
        allowance: this.#allowance(name, limiter),
        rate,
        asked: Promise.resolve(),
        askAgainAt: Number.NEGATIVE_INFINITY,
      };
      this.#regions.set(name, region);
      this.#dependencies.metrics?.throttled.inc({ region: name }, 0);
      // Only the first callers wait for the answer; later ones go on with what is known.
      if (fixedRate === 0) region.asked = this.#ask(name, region);
    } else if (fixedRate === 0 && this.#now() >= region.askAgainAt) {
      void this.#ask(name, region);
    }
    return region;
  }

  #allowance(name: string, limiter: SendRate): SendAllowance {
    return {
      waitFor: recipients => {
        limiter.setRate(this.#share(this.#region(name)));
        return limiter.waitFor(recipients);
      },
      take: recipients => limiter.takeNow(recipients),
      throttled: () => this.throttled(name),
      quotaLeft: null,
    };
  }

  /** Never rejects: what is not known stays as it was. */
  async #ask(name: string, region: Region): Promise<void> {
    const { quota, logger } = this.#dependencies;
    // Nobody else asks meanwhile.
    region.askAgainAt = this.#now() + REFRESH;
    try {
      const rate = await quota(name);
      if (rate !== null && rate > 0) region.rate = rate;
    } catch (error) {
      region.askAgainAt = this.#now() + REFRESH_AFTER_FAILURE;
      logger.warn({ err: error, region: name, rate: region.rate }, 'the send rate could not be asked of SES');
    }
  }
}

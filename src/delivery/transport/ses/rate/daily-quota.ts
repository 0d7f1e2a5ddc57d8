import type { Logger } from '../../../../observability/log.ts';
import type { AccountQuota, KnownRate, RateKey } from '../../../../store/delivery/send-rates.ts';
import type { SesMetrics } from '../metrics.ts';
import type { RateStore } from './buckets.ts';

/** What is said when so much of the day's quota is used, in parts of it; once, until it was clearly less. */
const WARNINGS = [0.8, 0.95, 1];
const CLEARLY_LESS = 0.05;
/** Milliseconds between two questions to SES, whichever worker asks: GetAccount may be called once a second. */
const REFRESH = 60_000;
/** The same after one that failed where nothing depends on it, since the rate is configured. */
const REFRESH_WHERE_FIXED = 30 * 60_000;
/** Milliseconds after which what SES said of the day says nothing any more, since it could not be asked again. */
const GOOD_FOR = 15 * 60_000;

export interface DailyQuotaOptions {
  readonly key: RateKey;
  readonly accountLabel: string;
  /** Asks SES. */
  readonly quota: () => Promise<AccountQuota>;
  /** Recipients a second over all workers; 0: as SES says. */
  readonly fixedRate: number;
  readonly store?: RateStore;
  readonly metrics?: SesMetrics;
  readonly logger: Logger;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
}

/** What SES says of an account: asked for by one worker for all, and how much of the day's quota is left since. */
export class DailyQuota {
  readonly #options: DailyQuotaOptions;
  #askAgainAt = Number.NEGATIVE_INFINITY;
  #isKnown: boolean;
  #rate: number | null = null;
  #quota: number | null = null;
  #left: number | null = null;
  #heardAt = Number.NEGATIVE_INFINITY;
  #warned = 0;

  constructor(options: DailyQuotaOptions) {
    this.#options = options;
    this.#isKnown = options.fixedRate > 0;
  }

  /** Whether SES was asked, with or without an answer, or need not be waited for. */
  get isKnown(): boolean {
    return this.#isKnown;
  }

  /** Recipients a second; null: not known. */
  get rate(): number | null {
    return this.#rate;
  }

  /** Recipients that may still be sent to; null: not known, or no limit. */
  get left(): number | null {
    return this.#options.now() - this.#heardAt < GOOD_FOR ? this.#left : null;
  }

  taken(recipients: number): void {
    if (this.#left === null || this.#left === 0) return;
    this.#left = Math.max(0, this.#left - recipients);
    if (this.#left === 0) this.#tell();
  }

  /** What another worker has made known. */
  hear({ rate, quotaLeft }: KnownRate): void {
    this.#rate = rate ?? this.#rate;
    this.#hearLeft(quotaLeft);
  }

  /** Asks again when it is time. */
  keep(): void {
    if (this.#options.now() >= this.#askAgainAt) void this.#refresh();
  }

  /** Never rejects: what is not known stays as it was. */
  async #refresh(): Promise<void> {
    const { fixedRate, logger, key, now } = this.#options;
    // Nobody else asks meanwhile.
    this.#askAgainAt = now() + REFRESH;
    try {
      if (!(await this.#read())) await this.#ask();
    } catch (error) {
      if (fixedRate > 0) this.#askAgainAt = now() + REFRESH_WHERE_FIXED;
      const what = 'the account could not be asked of SES: its send rate and daily quota are not known';
      logger[fixedRate > 0 ? 'debug' : 'warn']({ err: error, region: key.region, rate: this.#rate }, what);
    }
    this.#isKnown = true;
  }

  /** @returns whether somebody else has asked lately. Never rejects. */
  async #read(): Promise<boolean> {
    const { store, key } = this.#options;
    if (!store) return false;
    try {
      if (await store.beginAsking(key, REFRESH * 0.9)) return false;
      const known = await store.read(key);
      if (known === null) return false;
      this.#quota = known.quota;
      this.hear(known);
      return true;
    } catch {
      return false;
    }
  }

  /** @throws Error of the SDK */
  async #ask(): Promise<void> {
    const { store, key } = this.#options;
    const answer: AccountQuota = await this.#options.quota();
    this.#quota = answer.quota;
    this.#rate = answer.rate ?? this.#rate;
    // The row is told first: whoever takes from it meanwhile would else bring back what was known before.
    const known = await store?.note(key, answer).catch(() => null);
    if (known) this.hear(known);
    else this.#hearLeft(answer.quota === null ? null : Math.max(0, answer.quota - (answer.sent ?? 0)));
  }

  #hearLeft(left: number | null): void {
    this.#left = left;
    this.#heardAt = this.#options.now();
    this.#tell();
  }

  /** In metrics and, where much is used, in the log. */
  #tell(): void {
    const { metrics, key, accountLabel: account, logger } = this.#options;
    if (this.#quota === null || this.#left === null) return;
    const { region } = key;
    const used = this.#quota > 0 ? 1 - this.#left / this.#quota : 1;
    metrics?.dailyQuota.set({ region, account }, this.#quota);
    metrics?.dailyUsed.set({ region, account }, used);
    const reached = WARNINGS.findLast(level => used >= level) ?? 0;
    if (reached > this.#warned) {
      const facts = { region, account, quota: this.#quota, left: this.#left };
      if (reached < 1) logger.warn(facts, `${reached * 100} % of what SES takes of this account in 24 hours is used`);
      else logger.error(facts, 'SES takes nothing more of this account until its last 24 hours have less in them');
      this.#warned = reached;
    } else if (used < this.#warned - CLEARLY_LESS) this.#warned = reached;
  }
}

import { repeat } from '../flow/loop.ts';
import { startStopwatch } from '../flow/stopwatch.ts';
import type { Logger } from '../observability/log.ts';
import { ALONE_FROM, type Claim, type Claims } from '../store/delivery/claims.ts';
import type { Standstill } from '../store/delivery/settle.ts';
import type { JobFacts, JobFactsReader } from '../store/delivery/unclaimed.ts';
import type { ClaimedWork, StopSignals } from './claimed-work.ts';
import type { DeliveryMetrics } from './metrics.ts';

export interface ClaimUpkeepOptions {
  /** Milliseconds. */
  readonly leaseTime: number;
  /** Milliseconds between two looks for claims that have run out. */
  readonly pollInterval: number;
  /** How many of those it may have at a time, however much else it has. */
  readonly takeOverLimit: number;
}

export interface ClaimUpkeepDependencies {
  readonly work: Pick<ClaimedWork, 'renew'>;
  readonly claims: Pick<Claims, 'takeOverAlone' | 'handBack'>;
  readonly facts: Pick<JobFactsReader, 'findExpired'>;
  /** Ids of messages that are in hand, or wait here. */
  readonly known: () => readonly string[];
  /** Lets a message wait for its turn. @returns false where its way out is shut; resolves at the latest when it is done with */
  readonly add: (facts: JobFacts) => Promise<boolean>;
  /** Tries a message with nothing beside it. */
  readonly tryAlone: (claim: Claim) => Promise<unknown>;
  /** While it is on, nothing is taken over. */
  readonly standstill: Pick<Standstill, 'isOn'>;
  readonly signals: StopSignals;
  readonly metrics: DeliveryMetrics;
  readonly logger: Logger;
  readonly options: ClaimUpkeepOptions;
}

/** Milliseconds for which a message whose way out is shut is not looked at again. */
const LEFT_FOR = 10_000;
const MAX_LEFT = 1_000;

/**
 * Renews the claims in hand, and finds the messages of workers that are heard of no more. Those wait for their turn as others do, and
 * are claimed only then.
 */
export class ClaimUpkeep {
  readonly #dependencies: ClaimUpkeepDependencies;
  readonly #left = new Map<string, number>();
  #count = 0;
  #hasAlone = false;
  #sinceRenewal = startStopwatch();
  #loops: Promise<unknown> = Promise.resolve();

  constructor(dependencies: ClaimUpkeepDependencies) {
    this.#dependencies = dependencies;
  }

  start(): void {
    const { leaseTime, pollInterval } = this.#dependencies.options;
    this.#loops = Promise.all([
      this.#repeat(leaseTime / 4, 'claims not renewed', () => this.#renew()),
      this.#repeat(pollInterval, 'no claims taken over', () => this.#look()),
    ]);
  }

  /** Resolves when nothing is renewed any more, at the signal that calls under way are waited for no longer. */
  async ended(): Promise<void> {
    await this.#loops;
  }

  /** Until the last message is done: its lease is renewed until then. */
  #repeat(pause: number, fault: string, work: () => Promise<void>): Promise<void> {
    const { logger, signals } = this.#dependencies;
    const onFault = (error: unknown): void => logger.warn({ err: error }, fault);
    return repeat(work, { pause, signal: signals.aborted, onFault });
  }

  async #renew(): Promise<void> {
    const sinceRenewal = startStopwatch();
    await this.#dependencies.work.renew();
    this.#sinceRenewal = sinceRenewal;
  }

  async #look(): Promise<void> {
    const { options, signals, standstill } = this.#dependencies;
    if (signals.stopping.aborted) return;
    // A worker that was paused must not take its own messages over while it is sending them.
    if (this.#sinceRenewal() >= options.leaseTime / 2) await this.#renew();
    if (standstill.isOn) return;
    await this.#lookForAlone();
    await this.#lookForExpired();
  }

  async #lookForExpired(): Promise<void> {
    const { facts, known, options, logger } = this.#dependencies;
    const room = options.takeOverLimit - this.#count;
    if (room <= 0) return;
    const but = [...known(), ...this.#leftIds()];
    const expired = await facts.findExpired({ takeovers: ALONE_FROM, limit: room, but });
    if (expired.length > 0)
      logger.warn({ messages: expired.length }, 'messages of a worker that is gone are taken over');
    for (const found of expired) void this.#add(found);
  }

  async #add(found: JobFacts): Promise<void> {
    this.#count += 1;
    if (!(await this.#dependencies.add(found)) && this.#left.size < MAX_LEFT)
      this.#left.set(found.emailId, performance.now() + LEFT_FOR);
    this.#count -= 1;
  }

  #leftIds(): string[] {
    const now = performance.now();
    for (const [emailId, until] of this.#left) if (until <= now) this.#left.delete(emailId);
    return [...this.#left.keys()];
  }

  /** One at a time: whatever else is in hand is lost with it. */
  async #lookForAlone(): Promise<void> {
    const { claims, metrics, signals, tryAlone } = this.#dependencies;
    if (this.#hasAlone) return;
    const claim = await claims.takeOverAlone();
    if (claim === null) return;
    // It may be what this worker has just handed back: a call under way would keep it from the others.
    if (signals.stopping.aborted) return claims.handBack([claim]);
    metrics.claims.inc({ source: 'expired' });
    this.#hasAlone = true;
    void tryAlone(claim).finally(() => (this.#hasAlone = false));
  }
}

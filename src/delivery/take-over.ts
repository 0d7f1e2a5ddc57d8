import type { Logger } from '../observability/log.ts';
import { ALONE_FROM, type Claim, type Claims } from '../store/delivery/claims.ts';
import type { JobFacts, JobFactsReader } from '../store/delivery/job-facts.ts';
import type { DeliveryMetrics } from './metrics.ts';

export interface TakeOverDependencies {
  readonly claims: Pick<Claims, 'takeOverAlone' | 'handBack'>;
  readonly facts: Pick<JobFactsReader, 'findExpired'>;
  /** Ids of messages that are in hand, or wait here. */
  readonly known: () => readonly string[];
  /** Lets a message wait for its turn. @returns false where its way out is shut; resolves at the latest when it is done with */
  readonly add: (facts: JobFacts) => Promise<boolean>;
  /** Tries a message with nothing beside it. */
  readonly tryAlone: (claim: Claim) => Promise<unknown>;
  readonly stopping: AbortSignal;
  readonly metrics: DeliveryMetrics;
  readonly logger: Logger;
  /** How many it may have at a time, however much else there is. */
  readonly limit: number;
}

/** Milliseconds for which a message whose way out is shut is not looked at again. */
const LEFT_FOR = 10_000;
const MAX_LEFT = 1_000;

/** Finds the messages of workers that are heard of no more. They wait for their turn as others do, and are claimed only then. */
export class TakeOver {
  readonly #dependencies: TakeOverDependencies;
  readonly #left = new Map<string, number>();
  #count = 0;
  #hasAlone = false;

  constructor(dependencies: TakeOverDependencies) {
    this.#dependencies = dependencies;
  }

  async look(): Promise<void> {
    await this.#lookForAlone();
    const { facts, known, limit, logger } = this.#dependencies;
    const room = limit - this.#count;
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
    const { claims, metrics, stopping, tryAlone } = this.#dependencies;
    if (this.#hasAlone) return;
    const claim = await claims.takeOverAlone();
    if (claim === null) return;
    // It may be what this worker has just handed back: a call under way would keep it from the others.
    if (stopping.aborted) return claims.handBack([claim]);
    metrics.claims.inc({ source: 'expired' });
    this.#hasAlone = true;
    void tryAlone(claim).finally(() => (this.#hasAlone = false));
  }
}

import type { Logger } from '../observability/log.ts';
import type { TraceContext } from '../observability/tracing.ts';
import type { JobOutcome } from '../queue/jobs.ts';
import type { ProviderError } from '../store/delivery/settle.ts';
import type { JobFacts, PutOffs } from '../store/delivery/unclaimed.ts';
import type { CircuitMetrics } from './metrics.ts';
import { bytesFor, STREAMED_FROM } from './outgoing/large-message.ts';
import type { Waiting } from './schedule/way-queue.ts';
import { shutError, type Way } from './schedule/ways.ts';

/** A message that waits for its turn, claimed by nobody. */
export interface WaitingMessage extends Waiting {
  readonly facts: JobFacts;
  /** null: that of the message itself. */
  readonly trace: TraceContext | null;
  /** It waits no longer. */
  readonly begins: () => void;
  readonly resolve: (outcome: JobOutcome) => void;
}

/** What the scheduler has to know of a message. */
export function waitingBy(facts: JobFacts, way: Way): Waiting & { readonly facts: JobFacts } {
  const { userId, recipients, sizeBytes } = facts;
  return {
    facts,
    way,
    owner: userId ?? '',
    recipients: Math.max(1, Math.min(recipients, way.maxRecipients)),
    bytes: bytesFor(facts),
    isLarge: sizeBytes >= STREAMED_FROM,
  };
}

export interface PostponerDependencies {
  readonly putOffs: Pick<PutOffs, 'add'>;
  readonly circuitMetrics: Pick<CircuitMetrics, 'putOff'>;
  /** Gives a message up whose way out is shut. Never rejects. */
  readonly giveUp: (message: WaitingMessage, error: ProviderError) => Promise<void>;
  /** Milliseconds from the acceptance on, after which such a message is given up. */
  readonly maxAge: number;
  /** Milliseconds since 1970 by the clock that all workers share; this machine's unless given. */
  readonly now?: () => number;
  readonly logger: Logger;
}

/** Milliseconds for which what is put off is spread, so that it does not come back all at once. */
const SPREAD = { least: 1_000, each: 5, most: 300_000 };

/** Puts messages back that are to wait elsewhere, and not here. */
export class Postponer {
  readonly #dependencies: PostponerDependencies;
  readonly #spread = new Spread();

  constructor(dependencies: PostponerDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Has their jobs come again after so many milliseconds, and a little more.
   *
   * @param standsStill whether it is their way out that is shut, so that the limit of their tries stands still
   */
  putOff(items: readonly WaitingMessage[], milliseconds: number, standsStill: boolean): void {
    const { putOffs, circuitMetrics, logger, maxAge, giveUp, now = Date.now } = this.#dependencies;
    for (const item of items) {
      const { facts, trace, resolve } = item;
      const { emailId } = facts;
      const error = standsStill ? shutError(item.way) : null;
      // There is no job that could come again, but a claim that is found again.
      if (facts.expired || trace === null) resolve('left');
      else if (error && now() - facts.acceptedAt.getTime() > maxAge) void giveUp(item, error);
      else {
        const put = putOffs.add({ emailId, afterMs: milliseconds + this.#spread.next(), standsStill, error, trace });
        circuitMetrics.putOff.inc();
        put.then(
          () => resolve('done'),
          error => {
            logger.warn({ err: error, emailId }, 'job not put off');
            resolve('left');
          },
        );
      }
    }
  }
}

/** Spreads what is put off, so that it does not come back all at once: the more, the wider. */
class Spread {
  #count = 0;
  #since = performance.now();

  /** Milliseconds. */
  next(): number {
    if (performance.now() - this.#since > SPREAD.most) {
      this.#since = performance.now();
      this.#count = 0;
    }
    this.#count += 1;
    return Math.random() * Math.min(SPREAD.most, SPREAD.least + this.#count * SPREAD.each);
  }
}

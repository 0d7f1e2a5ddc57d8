import type { Logger } from '../observability/log.ts';
import {
  type Attributes,
  NO_TRACING,
  newTrace,
  readTraceparent,
  type Span,
  type TraceContext,
  type Tracer,
} from '../observability/tracing.ts';
import { ALONE_FROM, type Claim, type Claims, LOST_FOR_GOOD } from '../store/delivery/claims.ts';
import type { Standstill } from '../store/delivery/settle.ts';
import type { JobFacts, JobFactsReader } from '../store/delivery/unclaimed.ts';
import { HandedBack, type StopSignals, type Traced, type Try } from './message-try.ts';
import type { DeliveryMetrics } from './metrics.ts';
import type { Permit } from './schedule/scheduler.ts';

/** Does something about a claimed message; `HandedBack` where it was not begun. */
export type WorkOn = (claim: Claim, trace: Traced, how: Try) => Promise<void>;

export interface ClaimedWorkDependencies {
  readonly claims: Pick<Claims, 'beginAlone' | 'absolve' | 'renew' | 'handBack'>;
  /** Tries one message. */
  readonly tryMessage: WorkOn;
  /** Holds one message that was lost with too many workers. */
  readonly holdMessage: WorkOn;
  /** While it is on, nothing begins. */
  readonly standstill: Pick<Standstill, 'isOn'>;
  readonly metrics: DeliveryMetrics;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  /** Where jobs come from, for traces. */
  readonly source?: { readonly name: string; readonly attributes: Attributes };
  readonly logger: Logger;
}

/** The messages that this worker has claimed, from the claim to their settlement. */
export class ClaimedWork {
  readonly #dependencies: ClaimedWorkDependencies;
  readonly #signals: StopSignals;
  readonly #inHand = new Map<string, Claim>();
  readonly #running = new Set<Promise<boolean>>();

  constructor(dependencies: ClaimedWorkDependencies, signals: StopSignals) {
    this.#dependencies = dependencies;
    this.#signals = signals;
  }

  get size(): number {
    return this.#inHand.size;
  }

  has(emailId: string): boolean {
    return this.#inHand.has(emailId);
  }

  /** Resolves when nothing is in hand any more. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async renew(): Promise<void> {
    await this.#dependencies.claims.renew([...this.#inHand.values()]);
  }

  /**
   * Keeps a claim until the work on it has ended.
   *
   * @param begin begins the work, at once or when its time has come
   * @returns whether its job may be forgotten; never rejects
   */
  keep(claim: Claim, begin: () => Promise<boolean>): Promise<boolean> {
    const { metrics } = this.#dependencies;
    this.#inHand.set(claim.emailId, claim);
    metrics.underway.set(this.#inHand.size);
    const running = begin().finally(() => {
      this.#inHand.delete(claim.emailId);
      this.#running.delete(running);
      metrics.underway.set(this.#inHand.size);
    });
    this.#running.add(running);
    return running;
  }

  /**
   * Works on a claim that is kept.
   *
   * @param workOn what is done about it; it is tried unless given
   * @returns whether its job may be forgotten; never rejects
   */
  async run(claim: Claim, trace: TraceContext, permit?: Permit, workOn?: WorkOn): Promise<boolean> {
    const { claims, logger, standstill } = this.#dependencies;
    const span = this.#beginSpan(claim, trace);
    try {
      if (this.#signals.stopping.aborted || standstill.isOn) throw new HandedBack();
      const traced = { trace, span };
      const how = { ...this.#signals, permit };
      await (workOn ? workOn(claim, traced, how) : this.#begin(claim, traced, how));
      return true;
    } catch (error) {
      const { emailId } = claim;
      const wasBegun = !(error instanceof HandedBack);
      // This worker lives, so that it is not the message that ends workers.
      if (wasBegun || isAlone(claim)) await claims.absolve(claim).catch(() => {});
      if (!wasBegun) {
        await claims.handBack([claim]).catch(() => logger.warn({ emailId }, 'claim left to run out'));
      } else {
        span.fail(error);
        // Nor is it tried again at once: whatever is wrong would be so still.
        logger.error({ emailId, err: error }, 'message not settled; its claim is left to run out');
      }
      return false;
    } finally {
      span.end();
    }
  }

  /** @throws HandedBack where it is not begun */
  async #begin(claim: Claim, traced: Traced, how: Try): Promise<void> {
    const { claims, tryMessage, holdMessage, logger } = this.#dependencies;
    if (!isAlone(claim)) return tryMessage(claim, traced, how);
    const { emailId, takeovers } = claim;
    if ((takeovers ?? 0) >= LOST_FOR_GOOD) return holdMessage(claim, traced, how);
    logger.warn({ emailId, takeovers }, 'a message that was lost with several workers is tried alone');
    if (!(await claims.beginAlone(claim))) return;
    await tryMessage(claim, traced, how);
  }

  #beginSpan({ emailId, try: attempt }: Claim, { traceparent }: TraceContext): Span {
    const { tracer = NO_TRACING, source = { name: 'jobs', attributes: {} } } = this.#dependencies;
    const span = tracer.start(`process ${source.name}`, { kind: 'consumer', parent: traceparent });
    if (span.isRecording) span.set({ ...source.attributes, 'smtp_relay.email_id': emailId, 'smtp_relay.try': attempt });
    return span;
  }
}

/** Whether it is to be tried with nothing beside it. */
export function isAlone({ takeovers = 0 }: Claim): boolean {
  return takeovers >= ALONE_FROM;
}

/** For work that no job brought. */
export function storedTrace({ message: { traceparent } }: Claim): TraceContext {
  return (traceparent === null ? null : readTraceparent(traceparent)) ?? newTrace();
}

interface TakeOverDependencies {
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

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
import type { DeliveryMetrics } from './metrics.ts';
import type { Permit } from './schedule/scheduler.ts';

/** What a try is part of. */
export interface Traced {
  /** Of the message; its next try belongs to it too. */
  readonly trace: TraceContext;
  /** Of this try. */
  readonly span: Span;
}

export interface StopSignals {
  /** No call may begin any more. */
  readonly stopping: AbortSignal;
  /** Calls under way are waited for no longer. */
  readonly aborted: AbortSignal;
}

/** How a message is tried. */
export interface Try extends StopSignals {
  /** What the scheduler has given to it; left out where it is tried whatever the state of its way out. */
  readonly permit?: Permit | undefined;
}

/** Whoever stops a worker gets what it has not begun. */
export class HandedBack extends Error {}

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
    if (span.isRecording)
      span.set({ ...source.attributes, 'smtp_relay.email_id': emailId, 'smtp_relay.try': attempt + 1 });
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

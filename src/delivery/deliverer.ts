import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../observability/log.ts';
import { newTrace, readTraceparent, type TraceContext } from '../observability/trace.ts';
import { type Attributes, NO_TRACING, type Span, type Tracer } from '../observability/tracing.ts';
import type { Turns } from '../policy/turns.ts';
import type { HandleJobs, JobOutcome, TakenJob } from '../queue/job-source.ts';
import { ALONE_FROM, type Claim, type Claims, LOST_FOR_GOOD } from '../store/claims.ts';
import type { Standstill } from '../store/standstill.ts';
import { startStopwatch } from '../store/stopwatch.ts';
import { bytesFor } from './large-message.ts';
import type { DeliveryMetrics } from './metrics.ts';
import { HandedBack, type StopSignals, type Traced } from './send-message.ts';

export interface DelivererOptions {
  /** Milliseconds. */
  readonly leaseTime: number;
  /** Milliseconds between two looks for claims that have run out. */
  readonly pollInterval: number;
  /** How many of those it may have in hand at a time, however much else it has. */
  readonly takeOverLimit: number;
}

export interface DelivererDependencies {
  readonly claims: Pick<
    Claims,
    'take' | 'findForeign' | 'takeOver' | 'takeOverAlone' | 'beginAlone' | 'absolve' | 'renew' | 'handBack'
  >;
  readonly turns: Turns;
  /** Tries one message; `HandedBack` where it was not begun. */
  readonly tryMessage: (claim: Claim, trace: Traced, signals: StopSignals) => Promise<void>;
  /** Holds one message that was lost with too many workers. */
  readonly holdMessage: (claim: Claim, trace: Traced, signals: StopSignals) => Promise<void>;
  /** While it is on, nothing is claimed. */
  readonly standstill: Pick<Standstill, 'isOn' | 'passed'>;
  readonly metrics: DeliveryMetrics;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  /** Where jobs come from, for traces. */
  readonly source?: { readonly name: string; readonly attributes: Attributes };
  readonly logger: Logger;
  readonly options: DelivererOptions;
}

/**
 * Turns jobs into claimed messages and gives each its turn. Renews the claims in hand, and takes over those of workers that
 * are heard of no more.
 */
export class Deliverer {
  readonly #dependencies: DelivererDependencies;
  readonly #stopping = new AbortController();
  readonly #aborted = new AbortController();
  readonly #inHand = new Map<string, Claim>();
  readonly #running = new Set<Promise<boolean>>();
  #sinceRenewal = startStopwatch();
  #takenOver = 0;
  #hasAlone = false;
  #loops: Promise<unknown> = Promise.resolve();

  constructor(dependencies: DelivererDependencies) {
    this.#dependencies = dependencies;
  }

  /** Begins to renew leases and to look for claims that have run out. */
  start(): void {
    const { leaseTime, pollInterval } = this.#dependencies.options;
    this.#loops = Promise.all([
      this.#repeat(leaseTime / 4, 'claims not renewed', () => this.#renew()),
      this.#repeat(pollInterval, 'no claims taken over', () => this.#takeOver()),
    ]);
  }

  /**
   * Handles jobs: those that this worker gets are sent. Of the others nothing is to be done, but for those of messages that
   * are not this program's, which are left to whose they are.
   */
  readonly handle: HandleJobs = async jobs => {
    const { claims, metrics, standstill } = this.#dependencies;
    await standstill.passed(this.#stopping.signal);
    if (standstill.isOn) return jobs.map(() => 'left');
    // What is in hand already was redelivered while work on it lasts.
    const wanted = new Set(jobs.map(({ emailId }) => emailId).filter(emailId => !this.#inHand.has(emailId)));
    const claimed = wanted.size > 0 ? await claims.take([...wanted]) : [];
    metrics.claims.inc({ source: 'job' }, claimed.length);
    for (const { emailId } of claimed) wanted.delete(emailId);
    const traces = new Map(jobs.map(job => [job.emailId, traceOf(job)]));
    const [done, others] = await Promise.all([
      Promise.all(claimed.map(claim => this.#deliver(claim, traces.get(claim.emailId) ?? storedTrace(claim)))),
      this.#outcomesOf([...wanted]),
    ]);
    const own = claimed.map(({ emailId }, index): [string, JobOutcome] => [emailId, done[index] ? 'done' : 'left']);
    const outcomes = new Map([...own, ...others]);
    return jobs.map(({ emailId }) => outcomes.get(emailId) ?? 'done');
  };

  /** What becomes of jobs whose messages this worker did not get. Never rejects: others of their batch are sent meanwhile. */
  async #outcomesOf(emailIds: readonly string[]): Promise<[string, JobOutcome][]> {
    if (emailIds.length === 0) return [];
    const { claims, logger } = this.#dependencies;
    try {
      const foreign = new Set(await claims.findForeign(emailIds));
      return emailIds.map(emailId => [emailId, foreign.has(emailId) ? 'foreign' : 'done']);
    } catch (error) {
      logger.debug({ err: error, jobs: emailIds.length }, 'jobs are left, since nobody knows whose they are');
      return emailIds.map(emailId => [emailId, 'left']);
    }
  }

  /**
   * Begins no further message, waits for those under way, and gives back what was not begun.
   *
   * @param timeLimit milliseconds after which calls under way are given up, their outcome unknown
   */
  async stop(timeLimit: number): Promise<void> {
    this.#stopping.abort();
    this.#dependencies.turns.wake();
    const timer = setTimeout(() => this.#aborted.abort(), timeLimit);
    await this.#idle();
    clearTimeout(timer);
    this.#aborted.abort();
    await this.#loops;
    // What was being claimed at that moment is given back.
    await this.#idle();
  }

  async #idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** @returns whether its job may be forgotten; never rejects */
  #deliver(claim: Claim, trace: TraceContext): Promise<boolean> {
    const { turns, metrics } = this.#dependencies;
    this.#inHand.set(claim.emailId, claim);
    metrics.underway.set(this.#inHand.size);
    const owner = claim.message.userId ?? '';
    const bytes = isAlone(claim) ? ALONE : bytesFor(claim.message);
    const running = turns
      .add(owner, bytes, () => this.#try(claim, trace))
      .finally(() => {
        this.#inHand.delete(claim.emailId);
        this.#running.delete(running);
        metrics.underway.set(this.#inHand.size);
      });
    this.#running.add(running);
    return running;
  }

  async #try(claim: Claim, trace: TraceContext): Promise<boolean> {
    const { claims, logger, standstill } = this.#dependencies;
    const span = this.#beginSpan(claim, trace);
    const signals = { stopping: this.#stopping.signal, aborted: this.#aborted.signal };
    try {
      if (signals.stopping.aborted || standstill.isOn) throw new HandedBack();
      await this.#begin(claim, { trace, span }, signals);
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
  async #begin(claim: Claim, traced: Traced, signals: StopSignals): Promise<void> {
    const { claims, tryMessage, holdMessage, logger } = this.#dependencies;
    if (!isAlone(claim)) return tryMessage(claim, traced, signals);
    const { emailId, takeovers } = claim;
    if ((takeovers ?? 0) >= LOST_FOR_GOOD) return holdMessage(claim, traced, signals);
    logger.warn({ emailId, takeovers }, 'a message that was lost with several workers is tried alone');
    if (!(await claims.beginAlone(claim))) return;
    await tryMessage(claim, traced, signals);
  }

  #beginSpan({ emailId, try: attempt }: Claim, { traceparent }: TraceContext): Span {
    const { tracer = NO_TRACING, source = { name: 'jobs', attributes: {} } } = this.#dependencies;
    const span = tracer.start(`process ${source.name}`, { kind: 'consumer', parent: traceparent });
    if (span.isRecording) span.set({ ...source.attributes, 'smtp_relay.email_id': emailId, 'smtp_relay.try': attempt });
    return span;
  }

  async #renew(): Promise<void> {
    const sinceRenewal = startStopwatch();
    await this.#dependencies.claims.renew([...this.#inHand.values()]);
    this.#sinceRenewal = sinceRenewal;
  }

  async #takeOver(): Promise<void> {
    const { claims, metrics, logger, options } = this.#dependencies;
    if (this.#stopping.signal.aborted) return;
    // A worker that was paused must not take its own messages over while it is sending them.
    if (this.#sinceRenewal() >= options.leaseTime / 2) await this.#renew();
    if (this.#dependencies.standstill.isOn) return;
    await this.#takeOverAlone();
    const room = options.takeOverLimit - this.#takenOver;
    const claimed = room > 0 ? await claims.takeOver(room) : [];
    if (claimed.length === 0) return;
    // It may be what this worker has just handed back: a call under way would keep it from the others.
    if (this.#stopping.signal.aborted) return claims.handBack(claimed);
    metrics.claims.inc({ source: 'expired' }, claimed.length);
    logger.warn({ messages: claimed.length }, 'took over messages of a worker that is gone');
    this.#takenOver += claimed.length;
    for (const claim of claimed) void this.#deliver(claim, storedTrace(claim)).finally(() => (this.#takenOver -= 1));
  }

  /** One at a time: whatever else is in hand is lost with it. */
  async #takeOverAlone(): Promise<void> {
    const { claims, metrics } = this.#dependencies;
    if (this.#hasAlone) return;
    const claim = await claims.takeOverAlone();
    if (claim === null) return;
    if (this.#stopping.signal.aborted) return claims.handBack([claim]);
    metrics.claims.inc({ source: 'expired' });
    this.#hasAlone = true;
    void this.#deliver(claim, storedTrace(claim)).finally(() => (this.#hasAlone = false));
  }

  async #repeat(interval: number, fault: string, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#stopping;
    // Leases are renewed until the last message is done.
    const ends = () => signal.aborted && this.#inHand.size === 0;
    while (!ends()) {
      await delay(interval, undefined, { signal: this.#aborted.signal }).catch(() => {});
      if (this.#aborted.signal.aborted) return;
      await work().catch(error => this.#dependencies.logger.warn({ err: error }, fault));
    }
  }
}

/** More bytes than any worker has at once: what is so large runs with nothing beside it. */
const ALONE = Number.MAX_SAFE_INTEGER;

function isAlone({ takeovers = 0 }: Claim): boolean {
  return takeovers >= ALONE_FROM;
}

/** For work that no job brought. */
function storedTrace({ message: { traceparent } }: Claim): TraceContext {
  return (traceparent === null ? null : readTraceparent(traceparent)) ?? newTrace();
}

function traceOf({ correlationId, traceparent }: TakenJob): TraceContext {
  return { correlationId, traceparent };
}

import { startStopwatch } from '../flow/stopwatch.ts';
import type { Logger } from '../observability/log.ts';
import { NO_TRACING, type Span, type TraceContext, type Tracer, within } from '../observability/tracing.ts';
import { untilAnswered } from '../postgres/until-answered.ts';
import type { Claim, Claims } from '../store/delivery/claims.ts';
import type { ProviderError, Settled, Settler, Standing, Standstill } from '../store/delivery/settle.ts';
import type { NewMessage } from '../store/messages/new-message.ts';
import type { SuppressionLookup } from '../store/owners/suppressions.ts';
import { HandedBack, type Traced, type Try } from './claimed-work.ts';
import { type RetryPolicy, standingAfter } from './disposition.ts';
import type { DeliveryMetrics } from './metrics.ts';
import type { NoticeBuilder } from './notices/failure-notice.ts';
import type { Outgoing, OutgoingBuilder } from './outgoing/outgoing.ts';
import type { RecipientOutcome } from './transport/contract.ts';
import type { Simulator } from './transport/simulated/simulator.ts';
import { callTransport } from './transport-call.ts';
import { TryRecord } from './try-record.ts';

export interface SendDependencies {
  readonly claims: Pick<Claims, 'beginSending' | 'findSettled'>;
  readonly settler: Pick<Settler, 'settle'>;
  readonly findSuppressed: SuppressionLookup;
  /** To whom nothing goes out, though they are told of as if it had. */
  readonly simulator: Simulator;
  /** Milliseconds that it takes on average until something is told of who is simulated. Left out: none. */
  readonly simulatedDelay?: () => number;
  /** Milliseconds since 1970 by the clock that all workers share; this machine's where it is left out. */
  readonly now?: () => number;
  /** While it is on, no call begins. Left out, it is never. */
  readonly standstill?: Pick<Standstill, 'isOn' | 'begin'>;
  /** Which bytes go out, and by which transport. */
  readonly outgoing: OutgoingBuilder;
  /** null: nobody gets failure notices. */
  readonly notices: NoticeBuilder | null;
  readonly policy: RetryPolicy;
  /** Webhook deliveries have become due. */
  readonly onDeliveriesDue: () => void;
  /** Events are kept that are to be told later. Left out, nobody is told. */
  readonly onEventsLater?: () => void;
  readonly metrics: DeliveryMetrics;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  readonly logger: Logger;
}

/** Milliseconds: what came onto the suppression list within these might as well have come behind the call. */
const RECENT = 20;
const LOST_TOO_OFTEN = {
  code: 'WorkersLost',
  message:
    'several workers have ended while they had this message, one after the other; it waits for smtp-relay emails resolve',
} as const;

/** One message's try, from the claim to its settlement. */
export class MessageTry {
  readonly #claim: Claim;
  readonly #trace: TraceContext;
  readonly #span: Span;
  readonly #tracer: Tracer;
  readonly #signals: Try;
  readonly #dependencies: SendDependencies;
  readonly #record: TryRecord;
  readonly #now: () => number;
  #sinceLook = startStopwatch();

  constructor(claim: Claim, { trace, span }: Traced, signals: Try, dependencies: SendDependencies) {
    this.#claim = claim;
    this.#trace = trace;
    this.#span = span;
    this.#tracer = dependencies.tracer ?? NO_TRACING;
    this.#signals = signals;
    this.#dependencies = dependencies;
    this.#now = dependencies.now ?? Date.now;
    this.#record = new TryRecord(claim, this.#now);
  }

  /**
   * Sends the message to whom it has not been sent, and writes down what came of it.
   *
   * @throws HandedBack where the worker stops before a call has begun; the database's error where the outcome could not be
   * written. The claim is then left to run out.
   */
  async run(): Promise<void> {
    await this.#leaveOutSuppressed(this.#left);
    const left = (await this.#leaveOutSimulated()) ? this.#left : [];
    const came = left.length > 0 ? await this.#sendTo(left) : 'through';
    if (came === 'lost') return this.#lost();
    await (came === 'later' ? this.#finish({ kind: 'later', afterMs: 0 }) : this.#finish());
  }

  /**
   * Writes down that nobody tries the message any more, since its way out was shut for too long.
   *
   * @throws the database's error where that could not be written
   */
  async giveUp(error: ProviderError): Promise<void> {
    const left = this.#left;
    await (left.length > 0 ? this.#finish({ kind: 'failed', error, exhausted: true }) : this.#finish());
  }

  /**
   * Writes down that nobody tries the message any more, since too many workers have ended with it, until a person says so.
   *
   * @throws the database's error where that could not be written
   */
  async hold(): Promise<void> {
    const left = this.#left;
    if (left.length > 0) this.#record.tellHeld(left, LOST_TOO_OFTEN);
    await this.#finish(left.length > 0 ? { kind: 'held', error: LOST_TOO_OFTEN } : this.#standing());
  }

  /** Whoever came onto the list since the message was accepted is not sent to. @returns the others */
  async #leaveOutSuppressed(recipients: readonly string[]): Promise<readonly string[]> {
    const { userId } = this.#claim.message;
    if (userId === null || recipients.length === 0) return recipients;
    this.#sinceLook = startStopwatch();
    const suppressed = await this.#patiently(() => this.#dependencies.findSuppressed(userId, recipients));
    if (suppressed.length === 0) return recipients;
    this.#dependencies.metrics.suppressed.inc(suppressed.length);
    this.#record.suppressed(suppressed);
    return recipients.filter(recipient => !suppressed.includes(recipient));
  }

  /** Once more, right before a call: the wait for it may have been long. @returns whom to send to */
  async #lookAgain(recipients: readonly string[]): Promise<readonly string[]> {
    return this.#sinceLook() < RECENT ? recipients : this.#leaveOutSuppressed(recipients);
  }

  /**
   * What is played has no call, and so nothing that could be unknown: it is written down with the settlement, or not at all.
   *
   * @returns false where it cannot be known now who may be sent to, which is noted
   */
  async #leaveOutSimulated(): Promise<boolean> {
    const left = this.#left;
    try {
      const recipients = await this.#dependencies.simulator(this.#claim, left);
      if (recipients.length === 0) return true;
      this.#dependencies.metrics.simulated.inc(recipients.length);
      this.#record.simulated(recipients, this.#dependencies.simulatedDelay?.() ?? 0);
      return true;
    } catch (error) {
      this.#postpone(left, error);
      return false;
    }
  }

  /** The recipients of this try. */
  get #left(): string[] {
    const hold = this.#dependencies.policy.onUnknownOutcome === 'hold';
    return this.#record.progress.in('open', 'transient', ...(hold ? [] : ['unknown' as const]));
  }

  /** @returns `lost` where the claim is another worker's by now, `later` where it has to wait before it can go on */
  async #sendTo(left: readonly string[]): Promise<'through' | 'later' | 'lost'> {
    const outgoing = await this.#build(left);
    if (outgoing === null) return 'through';
    return this.#sendBy(outgoing, left).finally(() => outgoing.release?.());
  }

  async #sendBy(outgoing: Outgoing, left: readonly string[]): Promise<'through' | 'later' | 'lost'> {
    const { transport } = outgoing;
    let called = false;
    for (let start = 0; start < left.length; start += transport.maxRecipients) {
      const batch = left.slice(start, start + transport.maxRecipients);
      if (called && !(await this.#goesOn(batch.length))) return 'later';
      if (called && !(await this.#settle({ kind: 'underway' })).owned) return 'lost';
      this.#mayStillBegin();
      const recipients = await this.#leaveOutSettled(await this.#lookAgain(batch));
      if (recipients.length === 0) continue;
      if (!(await this.#begin(recipients))) return 'lost';
      called = true;
      const outcomes = await this.#call(outgoing, recipients);
      // What keeps one call from working keeps the next one too.
      if (outcomes.every(({ outcome }) => outcome.kind === 'transient')) break;
    }
    return 'through';
  }

  /** The first call was admitted with the message. Who has to wait for a further one keeps nothing meanwhile. */
  async #goesOn(recipients: number): Promise<boolean> {
    return (await this.#signals.permit?.goesOn(recipients)) ?? true;
  }

  /** null where there is nothing to send, which is noted. */
  async #build(left: readonly string[]): Promise<Outgoing | null> {
    const { outgoing } = this.#dependencies;
    try {
      const built = await within(this.#begins('compose'), () => outgoing.build(this.#claim));
      if (built === null) this.#record.fail(left, { code: 'MessageGone', message: 'the message is not kept any more' });
      return built;
    } catch (error) {
      this.#postpone(left, error);
      return null;
    }
  }

  #postpone(left: readonly string[], error: unknown): void {
    this.#dependencies.logger.error({ ...this.#names, err: error }, 'message could not be prepared');
    this.#record.postpone(left, { code: 'InternalError', message: 'the message could not be prepared' });
  }

  /** @throws HandedBack where no call may begin any more */
  #mayStillBegin(): void {
    if (this.#signals.stopping.aborted || this.#dependencies.standstill?.isOn) throw new HandedBack();
  }

  /** Of whom it has become known meanwhile that they are done. @returns the others */
  async #leaveOutSettled(recipients: readonly string[]): Promise<readonly string[]> {
    const settled = await this.#patiently(() => this.#dependencies.claims.findSettled(this.#claim, recipients));
    for (const { recipient, outcome } of settled) this.#record.progress.note([recipient], outcome);
    return recipients.filter(recipient => !settled.some(known => known.recipient === recipient));
  }

  /** @returns false where the claim is another worker's by now */
  async #begin(recipients: readonly string[]): Promise<boolean> {
    this.#mayStillBegin();
    return this.#patiently(() => this.#dependencies.claims.beginSending(this.#claim, recipients));
  }

  /** Waits for a database that is away, unless the worker stops: no call has begun. */
  #patiently<T>(work: () => Promise<T>): Promise<T> {
    const onFault = (error: unknown) => this.#dependencies.logger.warn({ ...this.#names, err: error }, 'not sent yet');
    const { standstill } = this.#dependencies;
    return untilAnswered(work, { signal: this.#signals.stopping, onFault, ...(standstill && { standstill }) });
  }

  #call(outgoing: Outgoing, recipients: readonly string[]): Promise<readonly RecipientOutcome[]> {
    return callTransport(outgoing, recipients, {
      ...this.#dependencies,
      signals: this.#signals,
      span: this.#begins(`send ${outgoing.transport.kind}`, 'client'),
      record: this.#record,
      acceptedAt: this.#claim.message.acceptedAt,
      now: this.#now,
      names: this.#names,
    });
  }

  async #finish(standing = this.#standing()): Promise<void> {
    if (standing.kind === 'failed' && standing.exhausted) this.#record.tellFailure(this.#left, standing.error);
    if (standing.kind === 'retry') this.#record.tellDelay(this.#left, standing);
    const settled = await this.#settle(standing);
    if (!settled.owned) return this.#lost();
    this.#dependencies.metrics.standings.inc({ standing: standing.kind });
    this.#span.set({ 'smtp_relay.standing': standing.kind });
    const error = 'error' in standing ? standing.error : null;
    const level = standing.kind === 'sent' ? 'info' : 'warn';
    this.#dependencies.logger[level]({ ...this.#names, try: this.#claim.try + 1, error }, `message ${standing.kind}`);
  }

  #standing(): Standing {
    return standingAfter(this.#record.result(), this.#dependencies.policy);
  }

  async #settle(standing: Standing): Promise<Settled> {
    const { settler, onDeliveriesDue, onEventsLater } = this.#dependencies;
    const notice = await this.#buildNotice();
    const settlement = { claim: this.#claim, standing, ...this.#record.take(), trace: this.#trace, notice };
    const write = () => settler.settle(settlement, this.#signals.aborted);
    const settled = await within(this.#begins('settle'), write);
    if (settled.deliveriesDue) onDeliveriesDue();
    if (settlement.events.some(({ dueAt }) => dueAt)) onEventsLater?.();
    return settled;
  }

  /** What went out must be written down, so a notice that cannot be made does not keep it from that. */
  async #buildNotice(): Promise<NewMessage | null> {
    const { notices, logger } = this.#dependencies;
    const { failed } = this.#record;
    if (notices === null || failed.length === 0) return null;
    const onFault = (error: unknown) => logger.warn({ ...this.#names, err: error }, 'no failure notice yet');
    const options = { signal: this.#signals.stopping, onFault };
    try {
      return await untilAnswered(() => notices.build(this.#claim, failed), options);
    } catch (error) {
      logger.error({ ...this.#names, err: error }, 'no failure notice could be made');
      return null;
    }
  }

  #lost(): void {
    this.#dependencies.metrics.lostClaims.inc();
    this.#dependencies.logger.warn(this.#names, "the claim is another worker's by now, or the message was cancelled");
  }

  #begins(name: string, kind: 'internal' | 'client' = 'internal'): Span {
    return this.#tracer.start(name, { kind, parent: this.#span });
  }

  get #names() {
    return { emailId: this.#claim.emailId, traceId: this.#trace.correlationId };
  }
}

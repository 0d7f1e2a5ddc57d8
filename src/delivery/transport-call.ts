import type { Logger } from '../observability/log.ts';
import type { Span } from '../observability/tracing.ts';
import type { Try } from './claimed-work.ts';
import type { DeliveryMetrics } from './metrics.ts';
import type { Outgoing } from './outgoing/outgoing.ts';
import { partFault, verdictOf } from './schedule/circuit.ts';
import type { RecipientOutcome } from './transport/contract.ts';
import type { TryRecord } from './try-record.ts';

/** The try that a call is part of. */
export interface CallContext {
  readonly signals: Try;
  /** Of the call; it is ended with it. */
  readonly span: Span;
  /** Where its outcomes are noted. */
  readonly record: TryRecord;
  readonly acceptedAt: Date;
  /** Milliseconds since 1970 by the clock that all workers share. */
  readonly now: () => number;
  readonly metrics: Pick<DeliveryMetrics, 'calls' | 'sends' | 'age'>;
  readonly logger: Logger;
  /** Which message and trace it is, for the log. */
  readonly names: object;
}

/** A call of which not even the transport knows what came of it. */
const BROKEN = { kind: 'unknown', code: 'InternalError', message: 'nobody knows whether it was sent' } as const;

/** Makes one call for some recipients of a message, and tells record, metrics, trace and way out what came of it. Never rejects. */
export async function callTransport(
  outgoing: Outgoing,
  recipients: readonly string[],
  { signals, span, record, acceptedAt, now, metrics, logger, names }: CallContext,
): Promise<readonly RecipientOutcome[]> {
  const { transport, message } = outgoing;
  const startedAt = new Date(now());
  const stopTimer = metrics.calls.startTimer({ transport: transport.kind });
  const outcomes = await transport.send({ ...message, recipients }, signals.aborted, span).catch(error => {
    logger.error({ ...names, err: error }, 'a transport has failed unexpectedly');
    return [{ recipients, outcome: BROKEN }];
  });
  stopTimer();
  tellWay(outgoing, outcomes, signals);
  endCall(span, transport.kind, outcomes);
  for (const { recipients: about, outcome } of outcomes) {
    record.outcome(about, outcome, { transport: transport.kind, startedAt });
    metrics.sends.inc({ transport: transport.kind, outcome: outcome.kind }, about.length);
    if (outcome.kind === 'sent') metrics.age.observe((now() - acceptedAt.getTime()) / 1000);
  }
  return outcomes;
}

/** What is cut off when the worker stops tells nothing of the way out. */
function tellWay(
  { transport, message }: Outgoing,
  outcomes: readonly RecipientOutcome[],
  { permit, aborted }: Try,
): void {
  if (permit?.way.transport !== transport || aborted.aborted) return;
  const { circuit, shutPart } = permit.way;
  const fault = shutPart && partFault(outcomes);
  if (fault) shutPart(message, fault);
  circuit.tell(fault ? 'works' : verdictOf(outcomes), permit.passage);
}

/** Ends the span of a call, with what came of it. */
function endCall(span: Span, transport: string, outcomes: readonly RecipientOutcome[]): void {
  const failed = outcomes.find(({ outcome }) => outcome.kind !== 'sent')?.outcome;
  span.set({
    'smtp_relay.transport': transport,
    'smtp_relay.outcome': failed?.kind ?? 'sent',
    'smtp_relay.recipients': outcomes.reduce((count, { recipients }) => count + recipients.length, 0),
  });
  if (failed && 'code' in failed) span.fail(failed.code);
  span.end();
}

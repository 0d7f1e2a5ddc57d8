import type { Span } from '../observability/tracing.ts';
import type { RecipientOutcome } from './transport/contract.ts';

/** Ends the span of a call, with what came of it. */
export function endCall(span: Span, transport: string, outcomes: readonly RecipientOutcome[]): void {
  const failed = outcomes.find(({ outcome }) => outcome.kind !== 'sent')?.outcome;
  span.set({
    'smtp_relay.transport': transport,
    'smtp_relay.outcome': failed?.kind ?? 'sent',
    'smtp_relay.recipients': outcomes.reduce((count, { recipients }) => count + recipients.length, 0),
  });
  if (failed && 'code' in failed) span.fail(failed.code);
  span.end();
}

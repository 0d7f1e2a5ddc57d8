import { Abandoned } from '../../flow/cancellation.ts';
import type { Submission } from '../../intake/submission.ts';
import type { Span, Tracer } from '../../observability/tracing.ts';
import { isFault, replyTo } from '../protocol/replies.ts';

interface Received extends Pick<Submission, 'arrival' | 'raw'> {
  /** When it began to arrive, in milliseconds since 1970. */
  readonly beganAt: number;
}

/** The span of a message, from its first byte to its reply. */
export function beginMessageSpan(tracer: Tracer, { arrival, raw, beganAt }: Received): Span {
  const span = tracer.start('smtp receive', { kind: 'server', startTime: beganAt });
  if (!span.isRecording) return span;
  span.set({
    'network.protocol.name': 'smtp',
    'network.transport': 'tcp',
    'smtp_relay.smtp_protocol': arrival.protocol,
    'smtp_relay.session_id': arrival.sessionId,
    'messaging.message.body.size': raw.length,
  });
  tracer.start('data', { parent: span, startTime: beganAt }).end();
  return span;
}

/** Notes what the client is told in place of a 250. */
export function refuseMessageSpan(span: Span, error: unknown): void {
  if (error instanceof Abandoned) {
    span.set({ 'smtp_relay.rule': 'abandoned' });
    return;
  }
  const { code, rule } = replyTo(error);
  span.set({ 'smtp_relay.reply_code': code, 'smtp_relay.rule': rule });
  if (isFault(error)) span.fail(error);
}

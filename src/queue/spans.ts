import { isSampled, type Span, type Tracer } from '../observability/tracing.ts';
import type { SendJob } from './send-job.ts';

/** One span for each job of a call whose trace is sampled, since a call is for many traces. */
export function beginPublishSpans(tracer: Tracer, queueName: string, jobs: readonly SendJob[]): Span[] {
  if (!tracer.isOn) return [];
  return jobs.filter(isSampled).map(job => {
    const attributes = {
      ...sqsAttributes(queueName, 'send', 'send'),
      'messaging.batch.message_count': jobs.length,
      'smtp_relay.email_id': job.emailId,
    };
    return tracer.start(`send ${queueName}`, { kind: 'producer', parent: job.traceparent, attributes });
  });
}

/** @param error why the call failed; left out where it did not */
export function endPublishSpans(spans: readonly Span[], error?: unknown): void {
  for (const span of spans) {
    if (error !== undefined) span.fail(error);
    span.end();
  }
}

/** The attributes of a span about an SQS queue (OpenTelemetry, semantic conventions for messaging). */
export function sqsAttributes(queueName: string, operation: string, type: 'send' | 'receive' | 'process') {
  return {
    'messaging.system': 'aws_sqs',
    'messaging.destination.name': queueName,
    'messaging.operation.name': operation,
    'messaging.operation.type': type,
  };
}

/** The last part of a queue's URL. */
export function queueNameOf(queueUrl: string): string {
  return queueUrl.slice(queueUrl.lastIndexOf('/') + 1);
}

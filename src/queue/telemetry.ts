import { Counter, Gauge, Histogram } from 'prom-client';
import type { OutboxJob } from '../message/send-job.ts';
import type { Registry } from '../observability/metrics.ts';
import { isSampled, type Span, type Tracer } from '../observability/tracing.ts';
import { type JobOutcome, outcomeName } from './jobs.ts';

const OUTCOMES = ['done', 'left', 'foreign'] as const;

export interface QueueMetrics {
  /** Counts what came from the queue or the outbox. */
  received(kind: 'job' | 'other' | 'poison', count: number): void;
  /** Counts jobs that were handled, by what became of them. */
  handled(outcome: JobOutcome, count: number): void;
}

/** What the queue room counts. */
export function createQueueMetrics(registry: Registry): QueueMetrics {
  const registers = [registry];
  const received = new Counter({
    name: 'smtp_relay_jobs_received_total',
    help: 'Messages taken from the queue or the outbox: send jobs, jobs of other types, and what nobody understands.',
    labelNames: ['kind'],
    registers,
  });
  const handled = new Counter({
    name: 'smtp_relay_jobs_handled_total',
    help: 'Send jobs by what became of them: done, left (to come again), foreign (not of a message of this program, and left to others).',
    labelNames: ['outcome'],
    registers,
  });
  for (const kind of ['job', 'other', 'poison']) received.inc({ kind }, 0);
  for (const outcome of OUTCOMES) handled.inc({ outcome }, 0);
  return {
    received: (kind, count) => received.inc({ kind }, count),
    handled: (outcome, count) => handled.inc({ outcome: outcomeName(outcome) }, count),
  };
}

const RESULTS = ['published', 'refused', 'failed'] as const;

export interface PublisherMetrics {
  /** What became of the jobs of one call. */
  published(result: (typeof RESULTS)[number], jobs: number): void;
  /** One call to the queue, however it ended. */
  called(milliseconds: number): void;
  /** Whether calls are made just now, or the queue is left alone for a while. */
  reachable(isReachable: boolean): void;
}

/** What is asked for at each scrape. */
export interface PublisherState {
  /** Jobs in memory. */
  readonly pending: () => number;
  /** Jobs in the queue. */
  readonly depth: () => number;
  /** Whether there are so many that others wait in the outbox. */
  readonly isFull: () => boolean;
}

/** What the publisher does. */
export function createPublisherMetrics(registry: Registry, state: PublisherState): PublisherMetrics {
  const registers = [registry];
  const jobs = new Counter({
    name: 'smtp_relay_publish_jobs_total',
    help: 'Send jobs by what became of publishing them: published, refused (by the queue, this one only), failed (the whole call); the last two are tried again',
    labelNames: ['result'],
    registers,
  });
  const duration = new Histogram({
    name: 'smtp_relay_publish_duration_seconds',
    help: 'Time of one call to the queue, with up to ten jobs',
    buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers,
  });
  const reachable = new Gauge({
    name: 'smtp_relay_publish_reachable',
    help: '1 where the last call to the queue went through, or none was made; 0 where it failed',
    registers,
  });
  new Gauge({
    name: 'smtp_relay_publish_pending_jobs',
    help: 'Send jobs in memory that wait for a call to the queue',
    registers,
    collect() {
      this.set(state.pending());
    },
  });
  new Gauge({
    name: 'smtp_relay_publish_queue_jobs',
    help: 'Send jobs in the queue that wait for a worker, at the last look of this process; 0 where it does not look',
    registers,
    collect() {
      this.set(state.depth());
    },
  });
  new Gauge({
    name: 'smtp_relay_publish_queue_full',
    help: '1 while further send jobs wait in the outbox, where owners have their turn, since the queue has as many as workers take in a moment',
    registers,
    collect() {
      this.set(state.isFull() ? 1 : 0);
    },
  });
  for (const result of RESULTS) jobs.inc({ result }, 0);
  reachable.set(1);
  return {
    published: (result, count) => void (count > 0 && jobs.inc({ result }, count)),
    called: milliseconds => duration.observe(milliseconds / 1000),
    reachable: isReachable => reachable.set(isReachable ? 1 : 0),
  };
}

/** One span for each job of a call whose trace is sampled, since a call is for many traces. */
export function beginPublishSpans(tracer: Tracer, queueName: string, jobs: readonly OutboxJob[]): Span[] {
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

import { Counter } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';

export interface QueueMetrics {
  /** Counts what came from the queue or the outbox. */
  received(kind: 'job' | 'other' | 'poison', count: number): void;
  /** Counts jobs that were handled, by whether they were forgotten or left for later. */
  handled(outcome: 'done' | 'left', count: number): void;
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
    help: 'Send jobs that were done with, and such as were left to be delivered again.',
    labelNames: ['outcome'],
    registers,
  });
  for (const kind of ['job', 'other', 'poison']) received.inc({ kind }, 0);
  for (const outcome of ['done', 'left']) handled.inc({ outcome }, 0);
  return {
    received: (kind, count) => received.inc({ kind }, count),
    handled: (outcome, count) => handled.inc({ outcome }, count),
  };
}

import { Counter } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';
import { type JobOutcome, outcomeName } from './job-source.ts';

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

import { Counter, Histogram } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';
import { RETENTION_KINDS } from '../store/retention/retention.ts';

export interface HousekeepingMetrics {
  readonly republished: Counter;
  readonly removed: Counter<'kind'>;
  readonly batchSeconds: Histogram<'kind'>;
}

export function createHousekeepingMetrics(registry: Registry): HousekeepingMetrics {
  const registers = [registry];
  const labelNames = ['kind'] as const;
  return {
    republished: new Counter({
      name: 'smtp_relay_republished_jobs_total',
      help: 'Jobs published again because a message was queued without one.',
      registers,
    }),
    removed: new Counter<'kind'>({
      name: 'smtp_relay_retention_removed_total',
      help: `Rows removed, or emptied, after the time they are kept for; kind is one of ${RETENTION_KINDS.join(', ')}.`,
      labelNames,
      registers,
    }),
    batchSeconds: new Histogram<'kind'>({
      name: 'smtp_relay_retention_batch_seconds',
      help: 'How long one statement of retention took.',
      labelNames,
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
      registers,
    }),
  };
}

import { Counter, Gauge } from 'prom-client';
import type { Registry } from '../../observability/metrics.ts';
import type { RouteFault } from '../transport/contract.ts';

const REASONS = ['connect', 'credentials', 'paused', 'quota', 'throttled'] as const satisfies readonly RouteFault[];

/** What is counted of ways out. Routes are those of the configuration and of declared documents. */
export function createCircuitMetrics(registry: Registry) {
  const registers = [registry];
  const metrics = {
    open: new Gauge({
      name: 'smtp_relay_circuit_open',
      help: `1 while a way out cannot be used, so that its messages wait and one at a time tries it, else 0; by route (with the region of SES) and reason: ${REASONS.join(', ')}`,
      labelNames: ['route', 'reason'] as const,
      registers,
    }),
    openings: new Counter({
      name: 'smtp_relay_circuit_openings_total',
      help: 'How often a way out turned out to be unusable, by reason',
      labelNames: ['reason'] as const,
      registers,
    }),
    putOff: new Counter({
      name: 'smtp_relay_messages_put_off_total',
      help: 'Messages that were put back without a try, since their way out is shut or their owner has many that wait',
      registers,
    }),
  };
  for (const reason of REASONS) metrics.openings.inc({ reason }, 0);
  return metrics;
}

export type CircuitMetrics = ReturnType<typeof createCircuitMetrics>;

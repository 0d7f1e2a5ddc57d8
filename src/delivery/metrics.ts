import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';

/** What the room counts. Label values come from fixed sets. */
export function createDeliveryMetrics(registry: Registry) {
  const registers = [registry];
  return {
    claims: new Counter({
      name: 'smtp_relay_claims_total',
      help: 'Messages claimed by this worker, by where their job came from',
      labelNames: ['source'] as const,
      registers,
    }),
    lostClaims: new Counter({
      name: 'smtp_relay_claims_lost_total',
      help: 'Claims that another worker had taken over when this one wanted to go on',
      registers,
    }),
    sends: new Counter({
      name: 'smtp_relay_sends_total',
      help: 'Recipients by transport and outcome of the call',
      labelNames: ['transport', 'outcome'] as const,
      registers,
    }),
    calls: new Histogram({
      name: 'smtp_relay_send_duration_seconds',
      help: 'Time of one call to a transport',
      labelNames: ['transport'] as const,
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
      registers,
    }),
    age: new Histogram({
      name: 'smtp_relay_send_age_seconds',
      help: 'Time from the acceptance of a message to its transport having it',
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 21600, 86400],
      registers,
    }),
    standings: new Counter({
      name: 'smtp_relay_messages_settled_total',
      help: 'Tries of messages by what they came to',
      labelNames: ['standing'] as const,
      registers,
    }),
    underway: new Gauge({
      name: 'smtp_relay_messages_in_hand',
      help: 'Messages that this worker has claimed',
      registers,
    }),
  };
}

export type DeliveryMetrics = ReturnType<typeof createDeliveryMetrics>;

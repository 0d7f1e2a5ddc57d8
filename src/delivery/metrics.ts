import { Counter, Gauge, Histogram } from 'prom-client';
import { TRANSPORT_KINDS } from '../config/transports/list.ts';
import { createReading, type Registry } from '../observability/metrics.ts';
import type { Outcome, RouteFault } from './transport/contract.ts';

const OUTCOMES = ['sent', 'transient', 'permanent', 'unknown'] as const satisfies readonly Outcome['kind'][];
const SOURCES = ['job', 'expired'] as const;
const STANDINGS = ['sent', 'retry', 'failed', 'suppressed', 'held'] as const;

/**
 * What the room counts. Label values come from fixed sets.
 *
 * @param standsStill whether the database refuses what sending needs, so that nothing is sent
 */
export function createDeliveryMetrics(registry: Registry, standsStill: () => boolean = () => false) {
  const registers = [registry];
  const metrics = {
    claims: new Counter({
      name: 'smtp_relay_claims_total',
      help: `Messages claimed by this worker, by where their job came from: ${SOURCES.join(', ')} (the claim of a worker that is gone)`,
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
      help: 'Recipients of calls by transport and outcome: sent, transient, permanent, unknown',
      labelNames: ['transport', 'outcome'] as const,
      registers,
    }),
    suppressed: new Counter({
      name: 'smtp_relay_recipients_suppressed_total',
      help: 'Recipients who were on the suppression list by the time that their message was to be sent',
      registers,
    }),
    simulated: new Counter({
      name: 'smtp_relay_recipients_simulated_total',
      help: 'Recipients that are addresses of a simulator, to whom nothing goes out',
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
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600, 3600, 21600, 86400],
      registers,
    }),
    standings: new Counter({
      name: 'smtp_relay_messages_settled_total',
      help: `Tries of messages by what they came to: ${STANDINGS.join(', ')}`,
      labelNames: ['standing'] as const,
      registers,
    }),
    standsStill: new Gauge({
      name: 'smtp_relay_worker_stands_still',
      help: '1 while the database refuses what sending needs (a read, a claim or an outcome), so that this worker sends nothing; else 0',
      registers,
      collect() {
        this.set(standsStill() ? 1 : 0);
      },
    }),
    underway: new Gauge({
      name: 'smtp_relay_messages_in_hand',
      help: 'Messages that this worker has claimed',
      registers,
    }),
  };
  for (const transport of TRANSPORT_KINDS) for (const outcome of OUTCOMES) metrics.sends.inc({ transport, outcome }, 0);
  for (const source of SOURCES) metrics.claims.inc({ source }, 0);
  for (const standing of STANDINGS) metrics.standings.inc({ standing }, 0);
  return metrics;
}

export type DeliveryMetrics = ReturnType<typeof createDeliveryMetrics>;

/** How long messages wait, whatever for. @param readOldest asked for at scrapes, at most once a second; seconds */
export function createWaitingMetrics(registry: Registry, readOldest: () => Promise<number>): void {
  const read = createReading({ read: readOldest });
  new Gauge({
    name: 'smtp_relay_oldest_waiting_seconds',
    help: 'For how long the oldest message that is to be sent has waited since it was accepted, in the whole installation, be it due, to be tried again or put back; without those that wait for a person; 0 where none waits',
    registers: [registry],
    async collect() {
      const seconds = await read();
      if (seconds === null) this.remove();
      else this.set(seconds);
    },
  });
}

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

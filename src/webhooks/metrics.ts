import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { createReading } from '../observability/metrics.ts';
import type { Backlog } from '../store/webhooks/deliveries.ts';

const RESULTS = ['success', 'rejected', 'timeout', 'unreachable', 'refused', 'unsigned', 'lost'] as const;

/**
 * How a try of a delivery ended. `rejected`: another status than 2xx. `refused`: an address that is not delivered to.
 * `unsigned`: no secret that can be read. `lost`: the event was deleted.
 */
export type DeliveryResult = (typeof RESULTS)[number];

export interface WebhookMetrics {
  readonly attempts: Counter<'result'>;
  readonly deadLetters: Counter;
  readonly duration: Histogram;
  readonly underWay: Gauge;
  readonly disabled: Counter;
}

const MILLISECOND = 1e-3;

/**
 * The metrics of this room.
 *
 * @param readBacklog asked at scrapes, at most once a second; while it fails, the backlog is not shown
 */
export function createWebhooksMetrics(registry: Registry, readBacklog: () => Promise<Backlog>): WebhookMetrics {
  const registers = [registry];
  addBacklog(registers, readBacklog);
  const metrics = {
    attempts: new Counter({
      name: 'smtp_relay_webhook_attempts_total',
      help: `Tries of webhook deliveries by how they ended: ${RESULTS.join(', ')}.`,
      labelNames: ['result'],
      registers,
    }),
    deadLetters: new Counter({
      name: 'smtp_relay_webhook_dead_letters_total',
      help: 'Webhook deliveries that failed at their last try.',
      registers,
    }),
    duration: new Histogram({
      name: 'smtp_relay_webhook_attempt_seconds',
      help: 'How long tries of webhook deliveries took.',
      buckets: [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000].map(bound => bound * MILLISECOND),
      registers,
    }),
    underWay: new Gauge({
      name: 'smtp_relay_webhook_attempts_under_way',
      help: 'Webhook deliveries that wait for an answer just now.',
      registers,
    }),
    disabled: new Counter({
      name: 'smtp_relay_webhooks_disabled_total',
      help: 'Endpoints disabled because they failed for too long, or answered 410.',
      registers,
    }),
  };
  for (const result of RESULTS) metrics.attempts.inc({ result }, 0);
  return metrics;
}

/** Two gauges of one query. */
function addBacklog(registers: Registry[], readBacklog: () => Promise<Backlog>): void {
  const read = createReading({ read: readBacklog });
  const gauge = (name: string, help: string, value: (backlog: Backlog) => number) =>
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        const backlog = await read();
        if (backlog) this.set(value(backlog));
        else this.remove();
      },
    });
  gauge(
    'smtp_relay_webhook_deliveries_due',
    'Webhook deliveries that are due and not being tried, in the whole installation, counted up to 100000.',
    ({ due }) => due,
  );
  gauge(
    'smtp_relay_webhook_oldest_due_seconds',
    'How long the first of them has been due.',
    ({ oldestSeconds }) => oldestSeconds,
  );
}

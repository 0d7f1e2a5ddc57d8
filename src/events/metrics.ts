import { Counter, type Registry } from 'prom-client';
import { READERS } from './ses/occurrences.ts';

/** `inbox`: somebody pressed a button there. */
const WAYS = ['sns', 'sqs', 'inbox'] as const;
const RESULTS = ['recorded', 'duplicate', 'ignored', 'unknown', 'invalid'] as const;
const SUPPRESSIONS = ['bounced', 'complained'] as const;
const REFUSALS = ['malformed', 'topic', 'signature', 'unavailable'] as const;

/** The ways in which providers tell of messages. */
export type Way = (typeof WAYS)[number];

/** What became of a notification. `unknown`: it is about messages that are not ours. */
export type NotificationResult = (typeof RESULTS)[number];

export interface EventsMetrics {
  readonly events: Counter<'type' | 'way'>;
  readonly notifications: Counter<'way' | 'result'>;
  readonly suppressions: Counter<'reason'>;
  readonly snsRefusals: Counter<'reason'>;
  readonly settled: Counter;
}

export function createEventsMetrics(registry: Registry): EventsMetrics {
  const registers = [registry];
  const metrics = {
    events: new Counter({
      name: 'smtp_relay_events_total',
      help: 'Events that a provider told of and that were new, by type and by the way they came in.',
      labelNames: ['type', 'way'],
      registers,
    }),
    notifications: new Counter({
      name: 'smtp_relay_notifications_total',
      help: 'Notifications of providers by the way they came in and by what became of them.',
      labelNames: ['way', 'result'],
      registers,
    }),
    suppressions: new Counter({
      name: 'smtp_relay_suppressions_total',
      help: 'Events that put their recipient on the suppression list of the owner, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    snsRefusals: new Counter({
      name: 'smtp_relay_sns_refusals_total',
      help: 'Requests to the SNS endpoint that were not taken, by reason.',
      labelNames: ['reason'],
      registers,
    }),
    settled: new Counter({
      name: 'smtp_relay_unknown_outcomes_settled_total',
      help: 'Messages of which an event told that they were sent, when that was unknown.',
      registers,
    }),
  };
  for (const way of WAYS) for (const { type } of READERS.values()) metrics.events.inc({ type, way }, 0);
  for (const way of WAYS) for (const result of RESULTS) metrics.notifications.inc({ way, result }, 0);
  for (const reason of SUPPRESSIONS) metrics.suppressions.inc({ reason }, 0);
  for (const reason of REFUSALS) metrics.snsRefusals.inc({ reason }, 0);
  return metrics;
}

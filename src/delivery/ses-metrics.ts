import { Counter, Gauge } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';

/** What the transport `ses` counts. Regions are those that AWS has. */
export function createSesMetrics(registry: Registry) {
  const registers = [registry];
  const labelNames = ['region'] as const;
  return {
    throttled: new Counter({
      name: 'smtp_relay_ses_throttled_total',
      help: 'Calls that Amazon SES refused because there were too many',
      labelNames,
      registers,
    }),
    sendRate: new Gauge({
      name: 'smtp_relay_ses_send_rate_recipients',
      help: 'Recipients a second that this worker may send to just now: its share, less what throttling took',
      labelNames,
      registers,
    }),
  };
}

export type SesMetrics = ReturnType<typeof createSesMetrics>;

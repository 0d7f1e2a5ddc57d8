import { Counter, Gauge } from 'prom-client';
import type { Registry } from '../../../observability/metrics.ts';

/** What the transport `ses` counts. Regions are those that AWS has. */
export function createSesMetrics(registry: Registry) {
  const registers = [registry];
  const labelNames = ['region'] as const;
  const looks = new Set<() => void>();
  const ofAccount = ['region', 'account'] as const;
  return {
    throttled: new Counter({
      name: 'smtp_relay_ses_throttled_total',
      help: 'Calls that Amazon SES refused because there were too many',
      labelNames,
      registers,
    }),
    sendRate: new Gauge({
      name: 'smtp_relay_ses_send_rate_recipients',
      help: 'Recipients a second that all workers together may send to just now, less what throttling took; while the database is away, this worker alone',
      labelNames,
      registers,
    }),
    dailyQuota: new Gauge({
      name: 'smtp_relay_ses_daily_quota_recipients',
      help: 'Recipients that Amazon SES takes of the account in 24 hours (account: that of the role, or default)',
      labelNames: ofAccount,
      registers,
    }),
    dailyUsed: new Gauge({
      name: 'smtp_relay_ses_daily_quota_used_ratio',
      help: 'How much of it is used: from 0 to 1, where nothing goes by this account any more',
      labelNames: ofAccount,
      registers,
      collect() {
        for (const look of looks) look();
      },
    }),
    /** Calls it at each scrape, so that the quota is asked for where nobody sends, too. */
    atScrapes: (look: () => void): void => void looks.add(look),
  };
}

export type SesMetrics = ReturnType<typeof createSesMetrics>;

import { Counter, Gauge } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';

/** `repeated`: the same came twice within a second. `capped`: its message has had enough in this hour. `dropped`: there was no room for it, or no time. */
export type HitResult = 'recorded' | 'repeated' | 'capped' | 'dropped';

export interface HitMetrics {
  count(result: HitResult, hits: readonly { readonly type: 'opened' | 'clicked' }[]): void;
}

/** Opens and clicks, and what became of them. @param pending how many are in memory */
export function createHitMetrics(registry: Registry, pending: () => number): HitMetrics {
  const hits = new Counter({
    name: 'smtp_relay_tracking_hits_total',
    help: 'Opens and clicks by what became of them: recorded, repeated (the same within a second), capped (tracking.hitsPerHour), dropped',
    labelNames: ['type', 'result'],
    registers: [registry],
  });
  new Gauge({
    name: 'smtp_relay_tracking_hits_pending',
    help: 'Opens and clicks in memory that are not written yet',
    registers: [registry],
    collect() {
      this.set(pending());
    },
  });
  return {
    count(result, counted) {
      for (const { type } of counted) hits.inc({ type, result });
    },
  };
}

import { Registry } from 'prom-client';

export type { Registry };

/**
 * A registry of metrics. Each room makes its own metrics on the one it is given (`createXMetrics(registry)` in the room's
 * `metrics.ts`), with names that begin with `smtp_relay_`, base units, and label values from fixed sets.
 */
export function createRegistry(): Registry {
  return new Registry();
}

import { Gauge } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';

/** Told by every process, since those that would reconcile are those that may be missing. @returns sets how many there are */
export function createUnreconciledMetric(registry: Registry): (count: number) => void {
  const unreconciled = new Gauge({
    name: 'smtp_relay_resources_unreconciled',
    help: 'Declared objects that are in force though no process compares them with their documents',
    registers: [registry],
  });
  return count => unreconciled.set(count);
}

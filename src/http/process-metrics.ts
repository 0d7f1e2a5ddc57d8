import { collectDefaultMetrics, Gauge } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';

export interface BuildInfo {
  readonly version: string;
  readonly role: 'relay' | 'worker';
}

/** What the process takes, how its event loop fares (`process_…`, `nodejs_…`), and which one it is. */
export function addProcessMetrics(registry: Registry, info: BuildInfo): void {
  collectDefaultMetrics({ register: registry });
  addBuildInfo(registry, info);
}

export function addBuildInfo(registry: Registry, { version, role }: BuildInfo): void {
  new Gauge({
    name: 'smtp_relay_build_info',
    help: 'Always 1; its labels say which version runs, as what, on which Node',
    labelNames: ['version', 'role', 'node'],
    registers: [registry],
  }).set({ version, role, node: process.versions.node }, 1);
}

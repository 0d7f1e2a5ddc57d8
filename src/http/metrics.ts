import { collectDefaultMetrics, Gauge, Histogram } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';

export interface HttpMetrics {
  /** @param route the path as it is declared, never as it was asked for: `/t/c/:token`; `none` where there is no such */
  observe(request: { listener: string; route: string; status: number; milliseconds: number }): void;
}

/** Requests of both listeners: how many, how they ended, how long they took. */
export function createHttpMetrics(registry: Registry): HttpMetrics {
  const duration = new Histogram({
    name: 'smtp_relay_http_request_duration_seconds',
    help: 'Time from the header of an HTTP request to the end of its response, by listener, route and status code',
    labelNames: ['listener', 'route', 'status'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10],
    registers: [registry],
  });
  return {
    observe({ listener, route, status, milliseconds }) {
      duration.observe({ listener, route, status: String(status) }, milliseconds / 1000);
    },
  };
}

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

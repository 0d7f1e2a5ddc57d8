import type { ConfigStatus } from '../config/live.ts';
import type { DeclarationsReport } from '../declared/report.ts';
import {
  createDependencyChecks,
  type DependencyCheck,
  type DependencyReport,
  reportInTime,
} from './dependency-checks.ts';

/** Whether something is as it shall be, and if not, why, for people. */
export interface Condition {
  readonly ok: boolean;
  readonly reasons: readonly string[];
}

/** A way out that cannot be used just now. */
export interface ShutRoute {
  readonly route: string;
  readonly reason: string;
  /** ISO 8601. */
  readonly since: string;
}

/** What a report is made of. */
export interface HealthChecks {
  /** Whether this process can take work. What all pods share does not belong here: they would all leave at once. */
  readonly ready: () => Condition;
  /** Which configuration is in force. */
  readonly configuration?: () => ConfigStatus;
  /** The declared resources, if any, and how they stand; null is shown where that cannot be read, or not in time. */
  readonly resources?: () => Promise<DeclarationsReport | undefined>;
  /** Ways out that cannot be used just now; for workers. */
  readonly shutRoutes?: () => readonly ShutRoute[];
  /** The services that it needs. */
  readonly dependencies: Readonly<Record<string, DependencyCheck>>;
}

/** How a process stands, for people. */
export interface HealthReport {
  readonly status: 'ok' | 'degraded';
  readonly role: 'relay' | 'worker';
  readonly version: string;
  readonly live: Condition;
  readonly ready: Condition;
  readonly configuration: ConfigStatus | undefined;
  readonly dependencies: Readonly<Record<string, DependencyReport>>;
  readonly shutRoutes: readonly ShutRoute[] | undefined;
  readonly resources: DeclarationsReport | null | undefined;
}

export interface HealthReportOptions {
  readonly role: 'relay' | 'worker';
  readonly version: string;
  readonly checks: HealthChecks;
  readonly live: () => Condition;
}

/** Makes the report of `/healthz`. The function returned never rejects. */
export function createHealthReport({ role, version, checks, live }: HealthReportOptions): () => Promise<HealthReport> {
  const lookAtDependencies = createDependencyChecks(checks.dependencies);
  const reportResources = checks.resources && reportInTime(checks.resources);
  return async () => {
    const [dependencies, resources] = await Promise.all([lookAtDependencies(), reportResources?.()]);
    const ready = checks.ready();
    const configuration = checks.configuration?.();
    const shutRoutes = checks.shutRoutes?.();
    const usable = !configuration?.lastError && (shutRoutes?.length ?? 0) === 0;
    const areDeclared = resources?.ok ?? true;
    const well = usable && areDeclared && ready.ok && live().ok && Object.values(dependencies).every(({ ok }) => ok);
    return {
      status: well ? 'ok' : 'degraded',
      role,
      version,
      live: live(),
      ready,
      configuration,
      dependencies,
      shutRoutes,
      resources,
    };
  };
}

import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyRequest } from 'fastify';
import type { ConfigStatus } from '../config/live.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { createExposition } from '../observability/metrics.ts';
import { createDependencyChecks, type DependencyCheck } from './dependency-checks.ts';
import { createHeartbeat, type Heartbeat } from './heartbeat.ts';
import { addRoute, createListener, type Listener, type ListenerLimits } from './listener.ts';
import type { HttpMetrics } from './metrics.ts';
import { addProcessMetrics } from './process-metrics.ts';
import { reportInTime } from './report-in-time.ts';

/** Whether something is as it shall be, and if not, why, for people. */
export interface Condition {
  readonly ok: boolean;
  readonly reasons: readonly string[];
}

export interface OperationalListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly role: 'relay' | 'worker';
  readonly version: string;
  readonly checks: {
    /** Whether this process can take work. What all pods share does not belong here: they would all leave at once. */
    readonly ready: () => Condition;
    /** Which configuration is in force. */
    readonly configuration?: () => ConfigStatus;
    /** The declared resources, if any, and how they stand; null is shown where that cannot be read, or not in time. */
    readonly resources?: () => Promise<Condition | undefined>;
    /** Ways out that cannot be used just now. */
    readonly shutRoutes?: () => readonly unknown[];
    /** What it needs of others. */
    readonly dependencies: Readonly<Record<string, DependencyCheck>>;
  };
  readonly registry: Registry;
  readonly metrics: HttpMetrics;
  readonly logger: Logger;
  readonly heartbeat?: Heartbeat;
}

const LIMITS: ListenerLimits = {
  connections: 200,
  urlLength: 2_048,
  headerBytes: 16_384,
  bodyBytes: 1_024,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 65_000,
};

/** The most seconds that `?wait=` is waited for: less than the listener gives a silent connection. */
const LONGEST_WAIT = 8;
const LOOK_INTERVAL = 50;

/**
 * The listener for those who run the process: `/livez`, `/readyz`, `/healthz` and `/metrics`. The first two are for
 * probes and say 503 where they fail. `/healthz` is a report for people and always 200: a probe on it would have every
 * pod restarted when the database is down.
 *
 * `/livez?wait=8` is for a startup probe: it answers as `/livez` does, as soon as the process is ready, at the latest after so
 * many seconds. The readiness probe that follows it then finds the process ready, where it would have made a warning of
 * every start.
 */
export function createOperationalListener(options: OperationalListenerOptions): Listener {
  const { host, port, role, version, checks, registry, logger, metrics } = options;
  const listener = createListener({ name: 'operational', host, port, limits: LIMITS, logger, metrics });
  const { server } = listener;
  const heartbeat = options.heartbeat ?? createHeartbeat();
  const lookAtDependencies = createDependencyChecks(checks.dependencies);
  const expose = createExposition(registry);
  const reportResources = checks.resources && reportInTime(checks.resources);
  addProcessMetrics(registry, { version, role });

  const get = (url: string, answerWith: () => unknown): void =>
    addRoute(server, {
      url,
      methods: ['GET', 'HEAD'],
      handle: async (_request, reply) => {
        reply.header('cache-control', 'no-store');
        return answerWith();
      },
    });
  const probe = (url: string, check: () => Condition, before?: (request: FastifyRequest) => Promise<void>): void =>
    addRoute(server, {
      url,
      methods: ['GET', 'HEAD'],
      handle: async (request, reply) => {
        await before?.(request);
        const condition = check();
        return reply
          .code(condition.ok ? 200 : 503)
          .header('cache-control', 'no-store')
          .send(condition);
      },
    });

  const closing = new AbortController();
  const live = () => liveness(heartbeat);
  probe('/livez', live, async ({ query }) => {
    const until = performance.now() + 1_000 * secondsToWait(query);
    while (!checks.ready().ok && performance.now() < until && !closing.signal.aborted)
      await sleep(LOOK_INTERVAL, undefined, { signal: closing.signal }).catch(() => {});
  });
  probe('/readyz', checks.ready);
  get('/healthz', async () => {
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
  });
  addRoute(server, {
    url: '/metrics',
    methods: ['GET', 'HEAD'],
    handle: async (request, reply) => {
      const { contentType, text } = await expose(request.headers.accept);
      return reply.type(contentType).header('vary', 'accept').send(text);
    },
  });

  return {
    ...listener,
    async close(milliseconds) {
      closing.abort();
      await listener.close(milliseconds);
      heartbeat.stop();
    },
  };
}

/** Of `?wait=`; 0 for what is no number of seconds. */
function secondsToWait(query: unknown): number {
  const { wait } = query as { wait?: unknown };
  return typeof wait === 'string' && /^\d{1,3}$/.test(wait) ? Math.min(Number(wait), LONGEST_WAIT) : 0;
}

function liveness(heartbeat: Heartbeat): Condition {
  const milliseconds = heartbeat.stillFor();
  if (milliseconds === null) return { ok: true, reasons: [] };
  return { ok: false, reasons: [`the event loop stood still for ${(milliseconds / 1000).toFixed(1)} s`] };
}

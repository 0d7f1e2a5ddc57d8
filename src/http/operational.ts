import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyRequest } from 'fastify';
import manifest from '../../package.json' with { type: 'json' };
import type { ConfigStatus } from '../config/live.ts';
import type { Context } from '../context.ts';
import type { ObjectStore } from '../objects/store.ts';
import type { Logger } from '../observability/log.ts';
import { createExposition, type Registry } from '../observability/metrics.ts';
import { checkDatabase } from '../postgres/pool.ts';
import type { SqsQueue } from '../queue/sqs/queue.ts';
import { createDependencyChecks, type DependencyCheck, reportInTime } from './dependency-checks.ts';
import { type EventLoopWatch, watchEventLoop } from './event-loop-watch.ts';
import { addRoute, createListener, type Listener, type ListenerLimits } from './listener.ts';
import { addProcessMetrics, type HttpMetrics } from './metrics.ts';

/** Whether something is as it shall be, and if not, why, for people. */
export interface Condition {
  readonly ok: boolean;
  readonly reasons: readonly string[];
}

export interface OperationalParts extends Context {
  readonly role: OperationalListenerOptions['role'];
  readonly queue: SqsQueue | null;
  readonly objects: Pick<ObjectStore, 'check'>;
  readonly ready: () => Condition;
  readonly resources: { report(): Promise<Condition | undefined> };
  /** Ways out that cannot be used just now; for workers. */
  readonly shutRoutes?: () => readonly unknown[];
  readonly metrics: HttpMetrics;
}

/** The operational listener of a process. */
export interface Operational extends Pick<Listener, 'close'> {
  /**
   * Listens. Where nobody chose the port and another process has it, there is a warning and no listener: messages do not
   * need it, and what ran beside that process before there was a listener is to go on.
   *
   * @returns the port; undefined without one
   * @throws Error that names the variable to set, where the port was chosen or is not to be had for another reason
   */
  open(): Promise<number | undefined>;
}

/** null where the configuration asks for no such listener. */
export function createOperational(parts: OperationalParts): Operational | null {
  const { live, role, pool, queue, objects, ready, resources, shutRoutes, registry, metrics, logger } = parts;
  const { httpHost: host, httpPort: port, pipeline, originals } = live.current;
  const hasObjects = pipeline === 'standalone' && originals.store === 's3';
  if (port === 0) return null;
  const listener = createOperationalListener({
    host,
    port,
    role,
    version: manifest.version,
    checks: {
      ready,
      configuration: () => live.status(),
      resources: () => resources.report(),
      ...(shutRoutes && { shutRoutes }),
      dependencies: {
        postgres: () => checkDatabase(pool),
        ...(queue && { sqs: () => queue.check() }),
        ...(hasObjects && { s3: () => objects.check() }),
      },
    },
    registry,
    metrics,
    logger: logger.child({ room: 'http' }),
  });
  const isChosen = live.isGiven('httpPort');
  return {
    open: () =>
      listener.open().catch((error: Error) => {
        if (isChosen || !isTaken(error.cause)) throw error;
        logger.warn({ err: error }, 'no health and no metrics: the default port for them is taken');
        return undefined;
      }),
    close: milliseconds => listener.close(milliseconds),
  };
}

function isTaken(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'EADDRINUSE';
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
    /** The services that it needs. */
    readonly dependencies: Readonly<Record<string, DependencyCheck>>;
  };
  readonly registry: Registry;
  readonly metrics: HttpMetrics;
  readonly logger: Logger;
  readonly eventLoop?: EventLoopWatch;
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
  const eventLoop = options.eventLoop ?? watchEventLoop();
  const live = () => liveness(eventLoop);
  const closing = new AbortController();
  const report = createHealthReport(options, live);
  const expose = createExposition(registry);
  addProcessMetrics(registry, { version, role });

  addProbe(server, '/livez', live, ({ query }) => untilReady(checks.ready, secondsToWait(query), closing.signal));
  addProbe(server, '/readyz', checks.ready);
  addRoute(server, {
    url: '/healthz',
    methods: ['GET', 'HEAD'],
    handle: async (_request, reply) => {
      reply.header('cache-control', 'no-store');
      return report();
    },
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
      eventLoop.stop();
    },
  };
}

/** @param before what is waited for before the check */
function addProbe(
  server: Listener['server'],
  url: string,
  check: () => Condition,
  before?: (request: FastifyRequest) => Promise<void>,
): void {
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
}

async function untilReady(ready: () => Condition, seconds: number, closing: AbortSignal): Promise<void> {
  const until = performance.now() + 1_000 * seconds;
  while (!ready().ok && performance.now() < until && !closing.aborted)
    await sleep(LOOK_INTERVAL, undefined, { signal: closing }).catch(() => {});
}

/** Reads `?wait=`; 0 for what is no number of seconds. */
function secondsToWait(query: unknown): number {
  const { wait } = query as { wait?: unknown };
  return typeof wait === 'string' && /^\d{1,3}$/.test(wait) ? Math.min(Number(wait), LONGEST_WAIT) : 0;
}

function liveness(eventLoop: EventLoopWatch): Condition {
  const milliseconds = eventLoop.stillFor();
  if (milliseconds === null) return { ok: true, reasons: [] };
  return { ok: false, reasons: [`the event loop stood still for ${(milliseconds / 1000).toFixed(1)} s`] };
}

/** Makes the report of `/healthz`. */
function createHealthReport({ role, version, checks }: OperationalListenerOptions, live: () => Condition) {
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

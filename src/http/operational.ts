import { setTimeout as sleep } from 'node:timers/promises';
import type { FastifyRequest } from 'fastify';
import manifest from '../../package.json' with { type: 'json' };
import type { Context } from '../context.ts';
import type { ObjectStore } from '../objects/store.ts';
import type { Logger } from '../observability/log.ts';
import { createExposition, type Registry } from '../observability/metrics.ts';
import { checkDatabase } from '../postgres/pool.ts';
import type { SqsQueue } from '../queue/sqs/queue.ts';
import { type EventLoopWatch, watchEventLoop } from './event-loop-watch.ts';
import { type Condition, createHealthReport, type HealthChecks } from './health-report.ts';
import { addRoute, createListener, type Listener, type ListenerLimits } from './listener.ts';
import { addProcessMetrics, type HttpMetrics } from './metrics.ts';
import { addOperatorPage, type OperatorPageParts } from './operator/page.ts';
import type { LoadPages } from './pages.ts';

export interface OperationalParts extends Context {
  readonly role: OperationalListenerOptions['role'];
  readonly queue: SqsQueue | null;
  readonly objects: Pick<ObjectStore, 'check'>;
  readonly ready: () => Condition;
  readonly resources: { report(): ReturnType<NonNullable<HealthChecks['resources']>> };
  readonly shutRoutes?: HealthChecks['shutRoutes'];
  readonly metrics: HttpMetrics;
  readonly loadPages: LoadPages;
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
  const { live, role, pool, queue, objects, ready, resources, shutRoutes, registry, metrics, logger, id, loadPages } =
    parts;
  const { httpHost: host, httpPort: port, pipeline, originals, operatorPage } = live.current;
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
    page: operatorPage.enabled ? { live, pool, id, loadPages } : null,
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
  readonly checks: HealthChecks;
  readonly registry: Registry;
  readonly metrics: HttpMetrics;
  readonly logger: Logger;
  readonly eventLoop?: EventLoopWatch;
  /** What the operator's page shows beside the report; null where there is to be no page. */
  readonly page?: Omit<OperatorPageParts, 'role' | 'version' | 'registry' | 'logger' | 'report'> | null;
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
 * The listener for those who run the process: `/livez`, `/readyz`, `/healthz` and `/metrics`, and at `/` a page for people. The first two are for
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
  const report = createHealthReport({ role, version, checks, live });
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

  const page = options.page && addOperatorPage(server, { ...options.page, role, version, registry, logger, report });

  return {
    ...listener,
    async open() {
      const port = await listener.open();
      page?.start();
      return port;
    },
    async close(milliseconds) {
      closing.abort();
      page?.stop();
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

import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { LiveConfig } from './config/live.ts';
import { ConfigError } from './config/problem.ts';
import type { Config } from './config/schema.ts';
import { createReconciliation, type Reconciliation } from './declared/reconciliation.ts';
import { createDelivery, createSource } from './delivery/create-delivery.ts';
import { WorkerHeartbeat } from './delivery/worker-heartbeat.ts';
import { createEvents, type Events } from './events/create-events.ts';
import { createHttpMetrics } from './http/metrics.ts';
import { createOperational } from './http/operational.ts';
import { createPublic } from './http/public.ts';
import { createHousekeepingMetrics, Housekeeping } from './maintenance/housekeeping.ts';
import type { Logger } from './observability/log.ts';
import { createRegistry, type Registry } from './observability/metrics.ts';
import { NO_TRACING, type Tracer } from './observability/tracing.ts';
import { processName } from './platform/uuid.ts';
import { createDatabaseClock, type DatabaseClock } from './postgres/clock.ts';
import { Publisher } from './queue/publisher.ts';
import { createConfiguredQueue, type SqsQueue } from './queue/sqs/queue.ts';
import { queueNameOf } from './queue/telemetry.ts';
import { createConfiguredPool, createConfiguredPreparation } from './store/configured.ts';
import { Outbox } from './store/messages/outbox.ts';
import { createStoreMetrics } from './store/metrics.ts';
import { Dispatcher } from './webhooks/dispatcher.ts';

/** A worker that can be started once and stopped once. */
export interface Worker {
  /**
   * Begins to deliver, as soon as the database can be reached.
   *
   * @returns the ports of its listeners; without those that are switched off
   * @throws where the database is not one whose messages this worker is to deliver, or a port is taken
   */
  start(): Promise<{ readonly httpPort?: number; readonly publicPort?: number }>;
  /** Rejects where the database, away at the start, turns out not to be one to deliver from. */
  readonly ended: Promise<never>;
  /** Finishes what is under way, gives back what is not begun, and frees everything. Also after a start that failed. */
  stop(): Promise<void>;
}

export interface WorkerDependencies {
  readonly logger: Logger;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
}

/** How much of `shutdownTimeout` calls to transports under way have; the rest is for writing down what came of them. */
const DRAIN_SHARE = 0.8;
/** Milliseconds that requests and webhook deliveries under way have to end. */
const CLOSE_TIME = 2_000;

/** What several parts of the worker need. */
interface Base {
  readonly live: LiveConfig;
  /** The generation at the start, for what takes a restart. */
  readonly config: Config;
  readonly pool: pg.Pool;
  readonly registry: Registry;
  readonly tracer: Tracer;
  readonly logger: Logger;
  readonly id: string;
}

/** Wires the worker together. Nothing happens before `start`. @throws ConfigError outside the standalone pipeline */
export async function createWorker(
  live: LiveConfig,
  { logger, tracer = NO_TRACING }: WorkerDependencies,
): Promise<Worker> {
  const config = live.current;
  requireStandalonePipeline(config);
  const pool = createConfiguredPool(live, logger);
  const base = {
    live,
    config,
    pool,
    registry: createRegistry(),
    tracer,
    logger,
    id: processName(),
  };
  const outbox = new Outbox(pool);
  const { poolSize } = config.database;
  const preparation = createConfiguredPreparation(live, { pool, logger });
  createStoreMetrics(base.registry, {
    pool,
    poolSize,
    readOutbox: () => outbox.backlog(),
    unfit: () => preparation.unfit,
  });
  const queue = createConfiguredQueue(config);
  const clock = createDatabaseClock({ db: pool, registry: base.registry, logger: logger.child({ room: 'store' }) });
  const dispatcher = createDispatcher(base, clock);
  const heartbeat = new WorkerHeartbeat({ db: pool, workerId: base.id, logger: logger.child({ room: 'delivery' }) });
  const onDeliveriesDue = () => dispatcher.wake();
  const delivery = createDelivery({ ...base, heartbeat, clock, onDeliveriesDue });
  const source = createSource({ ...base, sink: delivery.deliverer });
  const resources = await createReconciliation(base);
  const events = createEvents({ ...base, onDeliveriesDue });
  const running = new AsyncDisposableStack();
  const ended = Promise.withResolvers<never>();
  // Who does not look at it is not to fall by it.
  ended.promise.catch(() => {});
  let state: 'starting' | 'working' | 'stopping' = 'starting';
  const isStopping = () => state === 'stopping';

  async function work(): Promise<void> {
    if (isStopping()) return;
    await delivery.outcomes.start();
    if (isStopping()) return;
    await heartbeat.start();
    await clock.start();
    running.defer(() => clock.stop());
    const publisher = queue && createPublisher(base, queue);
    const housekeeping = createHousekeeping(base);
    if (isStopping()) return;
    // Stopped in reverse: first no more comes in, then what is in hand is finished, then what that made due.
    for (const part of [publisher, housekeeping, resources, dispatcher, events.queue, source]) part?.start();
    delivery.deliverer.start();
    running.defer(() => heartbeat.stop());
    running.defer(async () => void (await Promise.all([publisher?.stop(), housekeeping.stop(), resources.stop()])));
    running.defer(() => dispatcher.stop(CLOSE_TIME));
    running.defer(async () => {
      const sourceStopped = source.stop();
      await delivery.deliverer.stop(config.shutdownTimeout * DRAIN_SHARE);
      await Promise.all([sourceStopped, events.queue?.stop()]);
    });
    state = 'working';
    logger.info({ worker: base.id, transport: config.transport, queue: config.queueUrl !== '' }, 'working');
  }

  return {
    ended: ended.promise,
    async start() {
      const ready = () => readiness([...preparation.reasons, ...delivery.outcomes.reasons], state);
      const ports = await openListeners(base, {
        events,
        queue,
        resources,
        shutRoutes: () => delivery.ways.shut,
        isPrepared: () => preparation.isReady,
        onDeliveriesDue,
        ready,
        running,
      });
      running.defer(live.watch({ logger, registry: base.registry }));
      await preparation.start();
      const begun = preparation.ready.then(work);
      begun.catch(ended.reject);
      // A database that is away, or refuses what is to be written, is waited for, and nobody waits for that.
      if (preparation.isReady) await Promise.race([begun, delivery.outcomes.tried]);
      return ports;
    },
    async stop() {
      const wasWorking = state === 'working';
      state = 'stopping';
      // Browsers still come here until the load balancer has heard that this worker is not ready any more.
      const { drainDelay } = live.current;
      if (wasWorking && drainDelay > 0) await delay(drainDelay);
      // What holds a statement up then, such as somebody's lock, is not to hold up the end.
      const timer = setTimeout(() => void pool.letGo(), config.shutdownTimeout);
      await Promise.all([preparation.stop(), delivery.outcomes.stop()]);
      await running.disposeAsync();
      await delivery.transports.close();
      queue?.close();
      await pool.end();
      clearTimeout(timer);
      logger.info('stopped');
    },
  };
}

/** Beside OpenSend its own worker delivers; two would send everything twice. */
function requireStandalonePipeline({ pipeline }: Config): void {
  if (pipeline === 'standalone') return;
  const why = "OpenSend's own worker delivers in this pipeline, and a second one would send every message twice";
  const fix = 'run only the relay beside OpenSend, or set SMTP_RELAY_PIPELINE=standalone for a database of your own';
  throw new ConfigError([{ setting: 'pipeline', source: pipeline, why, fix }]);
}

function readiness(unprepared: readonly string[], state: string) {
  const reasons = [...unprepared, ...(state === 'working' ? [] : [state])];
  return { ok: reasons.length === 0, reasons };
}

/** Publishes retries when they are due, and what relays that are gone have left. */
function createPublisher({ config, pool, registry, tracer, logger }: Base, queue: SqsQueue): Publisher {
  return new Publisher({
    queue,
    outbox: new Outbox(pool),
    logger: logger.child({ room: 'queue' }),
    registry,
    tracer,
    // At least this one takes jobs.
    attended: async () => true,
    options: { ...config.publishing, queueName: queueNameOf(config.queueUrl) },
  });
}

function createHousekeeping({ config, pool, registry, logger }: Base): Housekeeping {
  return new Housekeeping({
    db: pool,
    periods: config.retention,
    republishAfter: config.worker.republishAfter,
    metrics: createHousekeepingMetrics(registry),
    logger: logger.child({ room: 'housekeeping' }),
  });
}

function createDispatcher({ config, pool, registry, tracer, logger }: Base, { now }: DatabaseClock): Dispatcher {
  const options = { ...config.webhooks, pollInterval: config.worker.pollInterval };
  return new Dispatcher({ pool, registry, tracer, logger: logger.child({ room: 'webhooks' }), now, options });
}

interface ListenerParts {
  readonly events: Events;
  readonly queue: SqsQueue | null;
  readonly resources: Reconciliation;
  readonly shutRoutes: () => readonly unknown[];
  readonly isPrepared: () => boolean;
  readonly onDeliveriesDue: () => void;
  readonly ready: () => { readonly ok: boolean; readonly reasons: readonly string[] };
  readonly running: AsyncDisposableStack;
}

/** Opened first, so that probes are answered while the database is prepared, and closed last. */
async function openListeners(
  base: Base,
  { events, queue, resources, shutRoutes, isPrepared, onDeliveriesDue, ready, running }: ListenerParts,
) {
  const metrics = createHttpMetrics(base.registry);
  const operational = createOperational({ ...base, role: 'worker', queue, resources, shutRoutes, ready, metrics });
  running.defer(async () => operational?.close(CLOSE_TIME));
  const httpPort = await operational?.open();
  const listener = createPublic({ ...base, intake: events, isPrepared, onDeliveriesDue, metrics });
  running.defer(async () => listener?.close(CLOSE_TIME));
  const publicPort = await listener?.open();
  return { ...(httpPort !== undefined && { httpPort }), ...(publicPort !== undefined && { publicPort }) };
}

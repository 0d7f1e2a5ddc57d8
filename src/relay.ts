import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { hasTls } from './config/derived.ts';
import type { LiveConfig } from './config/live.ts';
import { createReconciliation } from './declared/reconciliation.ts';
import { startSweeps } from './flow/loop.ts';
import { createHttpMetrics } from './http/metrics.ts';
import { type Condition, createOperational, type Operational } from './http/operational.ts';
import { createIntake } from './intake/create-intake.ts';
import { HeaderReader } from './intake/header-reader.ts';
import { Parser } from './message/parser.ts';
import type { Logger } from './observability/log.ts';
import { createRegistry } from './observability/metrics.ts';
import { NO_TRACING, type Tracer } from './observability/tracing.ts';
import { processName } from './platform/uuid.ts';
import { Publisher } from './queue/publisher.ts';
import { createConfiguredQueue } from './queue/sqs/queue.ts';
import { queueNameOf } from './queue/telemetry.ts';
import { type ListenerPorts, openListeners } from './smtp/listeners.ts';
import { createSmtpMetrics } from './smtp/metrics.ts';
import { createConfiguredPool, createConfiguredPreparation } from './store/configured.ts';
import { countLive, LIVES_FOR } from './store/delivery/workers.ts';
import { deleteExpiredIdempotency } from './store/intake/idempotency.ts';
import { createIntakeMetrics } from './store/intake/intake.ts';
import { deleteOldFailedLogins } from './store/keys/failed-logins.ts';
import { createLastUsedWriter, deleteOldKeyUsage, touchLastUsed } from './store/keys/usage.ts';
import { Outbox } from './store/messages/outbox.ts';
import { createStoreMetrics } from './store/metrics.ts';
import { deleteOldMessageIds } from './store/retention/messages.ts';

/** A relay that can be started once and stopped once. */
export interface App {
  /**
   * Prepares the database and listens. A database or queue that is down does not keep the relay from starting.
   *
   * @returns the ports, also where the configuration asked for any free one
   * @throws where the database belongs to another pipeline, a port is taken, or the certificate cannot be used
   */
  start(): Promise<ListenerPorts & { readonly httpPort?: number }>;
  /** Rejects where the database, away at the start, turns out not to be one for this relay. */
  readonly ended: Promise<never>;
  /** Finishes what is under way, and frees everything. Also after a start that failed or has not ended. */
  stop(): Promise<void>;
}

export interface AppDependencies {
  readonly logger: Logger;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
}

/** How much of `shutdownTimeout` sessions have, and after that those that are cut off; the rest is for publishing and closing. */
const DRAIN_SHARE = 0.8;
const ANSWER_SHARE = 0.1;

/** `serving` from when all ports are open until the stop. */
type Phase = 'starting' | 'serving' | 'stopping';

/** Wires the relay together. Nothing happens before `start`. */
export async function createApp(live: LiveConfig, { logger, tracer = NO_TRACING }: AppDependencies): Promise<App> {
  const config = live.current;
  const registry = createRegistry();
  const pool = createConfiguredPool(live, logger);
  const preparation = createConfiguredPreparation(live, { pool, logger });
  const parser = new Parser(config.parsing);
  const headers = new HeaderReader(config.parsing);
  const queue = createConfiguredQueue(config);
  const outbox = new Outbox(pool);
  const publisher =
    queue &&
    new Publisher({
      queue,
      outbox,
      // Beside OpenSend nobody knows.
      attended: config.pipeline === 'standalone' ? async () => (await countLive(pool, LIVES_FOR)) > 0 : undefined,
      logger: logger.child({ room: 'queue' }),
      registry,
      tracer,
      options: { ...config.publishing, queueName: queueNameOf(config.queueUrl) },
    });
  createStoreMetrics(registry, {
    pool,
    poolSize: config.database.poolSize,
    readOutbox: () => outbox.backlog(),
    unfit: () => preparation.unfit,
  });
  const lastUsed = createLastUsedWriter({ write: ids => touchLastUsed(pool, ids), logger });
  const smtpMetrics = createSmtpMetrics(registry);
  const context = { live, pool, registry, tracer, logger, id: processName() };
  const intake = createIntake({
    ...context,
    parser,
    headers,
    publisher,
    lastUsed,
    isReady: () => preparation.isReady,
    metrics: createIntakeMetrics(registry),
    stepTimes: smtpMetrics.steps,
  });
  const running = new AsyncDisposableStack();
  const ended = Promise.withResolvers<never>();
  // Who does not look at it is not to fall by it.
  ended.promise.catch(() => {});
  let phase: Phase = 'starting';
  const ready = () => readiness(preparation.reasons, phase);
  const metrics = createHttpMetrics(registry);
  const resources = await createReconciliation(context);
  let operational: Operational | null = null;

  return {
    ended: ended.promise,
    async start() {
      // First, so that probes are answered while the database is prepared.
      operational = createOperational({
        live,
        role: 'relay',
        pool,
        queue,
        ready,
        resources,
        registry,
        metrics,
        logger,
      });
      const httpPort = await operational?.open();
      running.defer(live.watch({ logger, registry }));
      await preparation.start();
      preparation.ready.then(() => resources.start()).catch(ended.reject);
      running.defer(() => resources.stop());
      publisher?.start();
      running.use(housekeeping(live, pool, logger));
      const drainTime = config.shutdownTimeout * DRAIN_SHARE;
      const answerTime = config.shutdownTimeout * ANSWER_SHARE;
      const smtpPorts = await openListeners({
        ...context,
        intake,
        metrics: smtpMetrics,
        drainTime,
        answerTime,
        running,
      });
      if (phase === 'starting') phase = 'serving';
      const ports = { ...smtpPorts, ...(httpPort !== undefined && { httpPort }) };
      logger.info({ ...ports, host: config.host, pipeline: config.pipeline, tls: hasTls(config) }, 'listening');
      return ports;
    },
    async stop() {
      const wasServing = phase === 'serving';
      phase = 'stopping';
      // Load balancers still send clients here until they have heard that this relay is not ready any more.
      const { drainDelay } = live.current;
      if (wasServing && drainDelay > 0) await delay(drainDelay);
      // What holds a statement up then, such as somebody's lock, is not to hold up the end.
      const timer = setTimeout(() => void pool.letGo(), config.shutdownTimeout);
      // In reverse: clients first, then what serves them, the database last.
      await running.disposeAsync();
      await Promise.all([parser.close(), headers.close()]);
      await Promise.all([preparation.stop(), publisher?.stop(), lastUsed.stop()]);
      await pool.end();
      clearTimeout(timer);
      await operational?.close();
      logger.info('stopped');
    },
  };
}

function readiness(unprepared: readonly string[], phase: Phase): Condition {
  const reasons = [...unprepared, ...(phase === 'serving' ? [] : [phase])];
  return { ok: reasons.length === 0, reasons };
}

/** What no longer counts is forgotten: idempotency keys, what keys have sent, failed log-ins, Message-IDs beside OpenSend. */
function housekeeping(live: LiveConfig, pool: pg.Pool, logger: Logger): Disposable {
  const sweep = () =>
    Promise.all([
      deleteExpiredIdempotency(pool),
      deleteOldKeyUsage(pool),
      deleteOldFailedLogins(pool, live.current.limits.failedLoginsPeriod),
      ...(live.current.pipeline === 'opensend' ? [deleteOldMessageIds(pool)] : []),
    ]);
  return startSweeps({ sweep, logger });
}

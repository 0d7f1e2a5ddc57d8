import { setTimeout as delay } from 'node:timers/promises';
import type { LiveConfig } from './config/live.ts';
import type { Context } from './context.ts';
import type { Condition } from './http/health-report.ts';
import { createHttpMetrics, type HttpMetrics } from './http/metrics.ts';
import { createOperational, type Operational, type OperationalParts } from './http/operational.ts';
import { type LoadPages, readBuiltPages } from './http/pages.ts';
import { createConfiguredObjects, type ObjectStore } from './objects/store.ts';
import type { Logger } from './observability/log.ts';
import { createRegistry } from './observability/metrics.ts';
import { NO_TRACING, type Tracer } from './observability/tracing.ts';
import { processName } from './platform/uuid.ts';
import type { PatientPool } from './postgres/patient-pool.ts';
import { Publisher, type PublisherDependencies } from './queue/publisher.ts';
import { createConfiguredQueue, type SqsQueue } from './queue/sqs/queue.ts';
import { queueNameOf } from './queue/telemetry.ts';
import { createConfiguredPool, createConfiguredPreparation } from './store/configured.ts';
import { Outbox } from './store/messages/outbox.ts';
import { createStoreMetrics } from './store/metrics.ts';
import type { Preparation } from './store/schema/preparation.ts';

/** A relay or worker that can be started once and stopped once. */
export interface Startable<Ports> {
  /**
   * Prepares the database and begins. A database or queue that is down does not keep it from starting.
   *
   * @returns the ports that it listens on, also where the configuration asked for any free one
   * @throws where the database is not one for this process, a port is taken, or the certificate cannot be used
   */
  start(): Promise<Ports>;
  /** Rejects where the database, away at the start, turns out not to be one for this process. */
  readonly ended: Promise<never>;
  /** Finishes what is under way, and frees everything. Also after a start that failed or has not ended. */
  stop(): Promise<void>;
}

export interface ProcessDependencies {
  readonly logger: Logger;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  /** Where pages come from; those that were built into `web/built/` unless given. */
  readonly loadPages?: LoadPages;
}

/** What relay and worker are made of alike. */
export interface ProcessParts extends Context {
  readonly pool: PatientPool;
  readonly preparation: Preparation;
  readonly outbox: Outbox;
  /** null where jobs are not published. */
  readonly queue: SqsQueue | null;
  readonly objects: ObjectStore;
  readonly loadPages: LoadPages;
}

/** Nothing happens before they are used. */
export function createProcessParts(
  live: LiveConfig,
  { logger, tracer = NO_TRACING, loadPages = readBuiltPages }: ProcessDependencies,
): ProcessParts {
  const registry = createRegistry();
  const pool = createConfiguredPool(live, logger);
  const context = { live, pool, registry, tracer, logger, id: processName() };
  const preparation = createConfiguredPreparation(context);
  const outbox = new Outbox(pool);
  createStoreMetrics(registry, {
    pool,
    poolSize: live.current.database.poolSize,
    readOutbox: () => outbox.backlog(),
    unfit: () => preparation.unfit,
  });
  const objects = createConfiguredObjects(live.current, registry);
  return { ...context, preparation, outbox, queue: createConfiguredQueue(live.current), objects, loadPages };
}

/** null where jobs are not published. */
export function createPublisher(
  { live, queue, outbox, registry, tracer, logger }: ProcessParts,
  { attended, onPublished }: Pick<PublisherDependencies, 'attended' | 'onPublished'>,
): Publisher | null {
  if (queue === null) return null;
  const { publishing, queueUrl } = live.current;
  const options = { ...publishing, queueName: queueNameOf(queueUrl) };
  return new Publisher({
    ...{ queue, outbox, attended, onPublished, registry, tracer, options },
    logger: logger.child({ room: 'queue' }),
  });
}

/** What a process listens with for those who operate it. */
type OperationalOf = Pick<OperationalParts, 'role' | 'resources' | 'shutRoutes'> & {
  /** Why it is not ready, beside what the database and the process itself tell. */
  readonly reasons?: () => readonly string[];
};

/** From its start to its end; `running` from when all of it has begun until the stop. */
type Phase = 'starting' | 'running' | 'stopping';

/** The life of a relay or worker: whether it is ready, and its end, in which what has begun stops in reverse. */
export class ProcessLife {
  /** What has begun, for its end. */
  readonly running = new AsyncDisposableStack();
  readonly httpMetrics: HttpMetrics;
  readonly #parts: ProcessParts;
  readonly #ended = Promise.withResolvers<never>();
  #operational: Operational | null = null;
  #phase: Phase = 'starting';

  constructor(parts: ProcessParts) {
    this.#parts = parts;
    this.httpMetrics = createHttpMetrics(parts.registry);
    // A caller that ignores `ended` must not crash the process.
    this.#ended.promise.catch(() => {});
  }

  /** Rejects with what `fail` was given. */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  readonly fail = (why: unknown): void => this.#ended.reject(why);

  get isStopping(): boolean {
    return this.#phase === 'stopping';
  }

  /** All of it has begun. */
  begun(): void {
    if (!this.isStopping) this.#phase = 'running';
  }

  /**
   * Answers probes and scrapes, before anything else begins and until all has ended, and follows the configuration's files.
   *
   * @returns the port; nothing where the configuration asks for no such listener
   */
  async open({ reasons = () => [], ...parts }: OperationalOf): Promise<{ readonly httpPort?: number }> {
    const { live, preparation, logger, registry } = this.#parts;
    const ready = (): Condition => this.#readiness([...preparation.reasons, ...reasons()]);
    this.#operational = createOperational({ ...this.#parts, ...parts, ready, metrics: this.httpMetrics });
    const httpPort = await this.#operational?.open();
    this.running.defer(live.watch({ logger, registry }));
    return httpPort === undefined ? {} : { httpPort };
  }

  #readiness(unprepared: readonly string[]): Condition {
    const reasons = this.#phase === 'running' ? unprepared : [...unprepared, this.#phase];
    return { ok: reasons.length === 0, reasons };
  }

  /** @param first stops what must not begin any more */
  async stop(first: () => Promise<unknown> = async () => {}): Promise<void> {
    const { live, pool, queue, objects, logger } = this.#parts;
    const wasRunning = this.#phase === 'running';
    this.#phase = 'stopping';
    // Load balancers still send clients here until they have heard that this process is not ready any more.
    const { drainDelay, shutdownTimeout } = live.current;
    if (wasRunning && drainDelay > 0) await delay(drainDelay);
    // What holds a statement up then, such as somebody's lock, is not to hold up the end.
    const timer = setTimeout(() => void pool.letGo(), shutdownTimeout);
    await first();
    // In reverse: clients first, then what serves them, the database last.
    await this.running.disposeAsync();
    queue?.close();
    objects.close();
    await pool.end();
    clearTimeout(timer);
    await this.#operational?.close();
    logger.info('stopped');
  }
}

import type { LiveConfig } from './config/live.ts';
import { ConfigError } from './config/problem.ts';
import type { Config } from './config/schema.ts';
import type { Context } from './context.ts';
import { createReconciliation } from './declared/reconciliation.ts';
import { createDelivery, createSource } from './delivery/create-delivery.ts';
import { WorkerHeartbeat } from './delivery/worker-heartbeat.ts';
import { createEvents } from './events/create-events.ts';
import { createPublic } from './http/public.ts';
import { createHousekeepingMetrics, Housekeeping } from './maintenance/housekeeping.ts';
import { createDatabaseClock, type DatabaseClock } from './postgres/clock.ts';
import {
  createProcessParts,
  createPublisher,
  type ProcessDependencies,
  ProcessLife,
  type ProcessParts,
  type Startable,
} from './process.ts';
import { Dispatcher } from './webhooks/dispatcher.ts';

export type Worker = Startable<{
  readonly httpPort?: number;
  readonly publicPort?: number;
  readonly inboxPort?: number;
}>;

/** How much of `shutdownTimeout` calls to transports under way have; the rest is for writing down what came of them. */
const DRAIN_SHARE = 0.8;
/** Milliseconds that requests and webhook deliveries under way have to end. */
const CLOSE_TIME = 2_000;

/** Wires the worker together. Nothing happens before `start`. @throws ConfigError outside the standalone pipeline */
export async function createWorker(live: LiveConfig, dependencies: ProcessDependencies): Promise<Worker> {
  const config = live.current;
  requireStandalonePipeline(config);
  const parts = createProcessParts(live, dependencies);
  const { pool, preparation, registry, logger, id } = parts;
  const clock = createDatabaseClock({ db: pool, registry, logger: logger.child({ room: 'store' }) });
  const dispatcher = createDispatcher(parts, clock);
  const heartbeat = new WorkerHeartbeat({ db: pool, workerId: id, logger: logger.child({ room: 'delivery' }) });
  const onDeliveriesDue = () => dispatcher.wake();
  const events = createEvents({ ...parts, onDeliveriesDue });
  const onEventsLater = () => events.later.wake();
  const delivery = createDelivery({ ...parts, heartbeat, clock, onDeliveriesDue, onEventsLater });
  const source = createSource({ ...parts, sink: delivery.deliverer });
  const resources = await createReconciliation(parts);
  const life = new ProcessLife(parts);
  const { running } = life;
  running.defer(() => delivery.transports.close());

  async function work(): Promise<void> {
    if (life.isStopping) return;
    await delivery.writeReadiness.start();
    if (life.isStopping) return;
    await heartbeat.start();
    await clock.start();
    running.defer(() => clock.stop());
    // At least this one takes jobs. It publishes retries when they are due, and what relays that are gone have left.
    const publisher = createPublisher(parts, { attended: async () => true });
    const housekeeping = createHousekeeping(parts);
    if (life.isStopping) return;
    // Stopped in reverse: first no more comes in, then what is in hand is finished, then what that made due.
    for (const part of [publisher, housekeeping, resources, dispatcher, events.later, events.queue, source])
      part?.start();
    delivery.deliverer.start();
    running.defer(() => heartbeat.stop());
    running.defer(async () => void (await Promise.all([publisher?.stop(), housekeeping.stop(), resources.stop()])));
    running.defer(() => dispatcher.stop(CLOSE_TIME));
    running.defer(async () => {
      const sourceStopped = source.stop();
      await delivery.deliverer.stop(config.shutdownTimeout * DRAIN_SHARE);
      await Promise.all([sourceStopped, events.queue?.stop(), events.later.stop()]);
    });
    life.begun();
    logger.info({ worker: id, transport: config.transport, queue: config.queueUrl !== '' }, 'working');
  }

  return {
    ended: life.ended,
    async start() {
      const httpPort = await life.open({
        role: 'worker',
        resources,
        shutRoutes: () => delivery.ways.shut,
        reasons: () => delivery.writeReadiness.reasons,
      });
      const isPrepared = () => preparation.isReady;
      const { httpMetrics: metrics } = life;
      const listener = createPublic({ ...parts, intake: events, isPrepared, onDeliveriesDue, metrics });
      running.defer(async () => listener?.close(CLOSE_TIME));
      const publicPort = await listener?.open();
      // Loaded here: production has none, and need not hold in memory what reads mail and describes an API.
      const ofInbox = { ...parts, events, isPrepared, onDeliveriesDue, metrics };
      const inbox = config.inbox.enabled ? (await import('./inbox/create-inbox.ts')).createInbox(ofInbox) : null;
      running.defer(async () => inbox?.close(CLOSE_TIME));
      const inboxPort = await inbox?.open();
      await preparation.start();
      const begun = preparation.ready.then(work);
      begun.catch(life.fail);
      // A database that is away, or refuses what is to be written, is waited for, and nobody waits for that.
      if (preparation.isReady) await Promise.race([begun, delivery.writeReadiness.tried]);
      return {
        ...httpPort,
        ...(publicPort !== undefined && { publicPort }),
        ...(inboxPort !== undefined && { inboxPort }),
      };
    },
    stop: () => life.stop(() => Promise.all([preparation.stop(), delivery.writeReadiness.stop()])),
  };
}

/** Beside OpenSend its own worker delivers; two would send everything twice. */
function requireStandalonePipeline({ pipeline }: Config): void {
  if (pipeline === 'standalone') return;
  const why = "OpenSend's own worker delivers in this pipeline, and a second one would send every message twice";
  const fix = 'run only the relay beside OpenSend, or set SMTP_RELAY_PIPELINE=standalone for a database of your own';
  throw new ConfigError([{ setting: 'pipeline', source: pipeline, why, fix }]);
}

function createHousekeeping({ live, pool, objects, registry, logger }: ProcessParts): Housekeeping {
  const { retention, worker } = live.current;
  return new Housekeeping({
    db: pool,
    objects,
    periods: retention,
    republishAfter: worker.republishAfter,
    metrics: createHousekeepingMetrics(registry),
    logger: logger.child({ room: 'housekeeping' }),
  });
}

function createDispatcher({ live, pool, registry, tracer, logger }: Context, { now }: DatabaseClock): Dispatcher {
  const { webhooks, worker } = live.current;
  const options = { ...webhooks, pollInterval: worker.pollInterval };
  return new Dispatcher({ pool, registry, tracer, logger: logger.child({ room: 'webhooks' }), now, options });
}

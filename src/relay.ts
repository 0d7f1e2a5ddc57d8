import { hasTls } from './config/derived.ts';
import type { LiveConfig } from './config/live.ts';
import { createReconciliation } from './declared/reconciliation.ts';
import { startSweeps } from './flow/loop.ts';
import { createIntake } from './intake/create-intake.ts';
import { HeaderReader } from './intake/header-reader.ts';
import { Parser } from './message/parser.ts';
import {
  createProcessParts,
  createPublisher,
  type ProcessDependencies,
  ProcessLife,
  type ProcessParts,
  type Startable,
} from './process.ts';
import { type ListenerPorts, openListeners } from './smtp/listeners.ts';
import { createSmtpMetrics } from './smtp/metrics.ts';
import { countLive, LIVES_FOR } from './store/delivery/workers.ts';
import { deleteExpiredIdempotency } from './store/intake/idempotency.ts';
import { createIntakeMetrics } from './store/intake/intake.ts';
import { deleteOldFailedLogins } from './store/keys/failed-logins.ts';
import { createLastUsedWriter, deleteOldKeyUsage, touchLastUsed } from './store/keys/usage.ts';
import { deleteOldMessageIds } from './store/retention/messages.ts';
import { deleteOldArrivals } from './store/sessions/arrivals.ts';
import { deleteOldSessions } from './store/sessions/sessions.ts';
import { deleteOldTraces } from './store/sessions/traces.ts';

export type App = Startable<ListenerPorts & { readonly httpPort?: number }>;

/** How much of `shutdownTimeout` sessions have, and after that those that are cut off; the rest is for publishing and closing. */
const DRAIN_SHARE = 0.8;
const ANSWER_SHARE = 0.1;

/** Wires the relay together. Nothing happens before `start`. */
export async function createApp(live: LiveConfig, dependencies: ProcessDependencies): Promise<App> {
  const config = live.current;
  const parts = createProcessParts(live, dependencies);
  const { pool, preparation, registry, logger } = parts;
  const parser = new Parser(config.parsing);
  const headers = new HeaderReader(config.parsing);
  // Beside OpenSend nobody knows whether anybody takes jobs.
  const hasWorkers = async () => (await countLive(pool, LIVES_FOR)) > 0;
  const publisher = createPublisher(parts, {
    attended: config.pipeline === 'standalone' ? hasWorkers : undefined,
    onPublished: jobs => intake.arrivals.published(jobs),
  });
  const lastUsed = createLastUsedWriter({ write: ids => touchLastUsed(pool, ids), logger });
  const metrics = createSmtpMetrics(registry);
  const intake = createIntake({
    ...parts,
    parser,
    headers,
    publisher,
    lastUsed,
    isReady: () => preparation.isReady,
    metrics: createIntakeMetrics(registry),
    stepTimes: metrics.steps,
  });
  const resources = await createReconciliation(parts);
  const life = new ProcessLife(parts);
  const { running } = life;
  running.defer(() => intake.arrivals.flush());
  running.defer(
    async () =>
      void (await Promise.all([preparation.stop(), publisher?.stop(), lastUsed.stop(), intake.sessions.flush()])),
  );
  running.defer(async () => void (await Promise.all([parser.close(), headers.close()])));

  return {
    ended: life.ended,
    async start() {
      const httpPort = await life.open({ role: 'relay', resources });
      await preparation.start();
      preparation.ready.then(() => resources.start()).catch(life.fail);
      running.defer(() => resources.stop());
      publisher?.start();
      running.use(housekeeping(parts));
      intake.onlookers.start();
      running.defer(() => intake.onlookers.stop());
      const drainTime = config.shutdownTimeout * DRAIN_SHARE;
      const answerTime = config.shutdownTimeout * ANSWER_SHARE;
      const smtpPorts = await openListeners({ ...parts, intake, metrics, drainTime, answerTime, running });
      life.begun();
      const ports = { ...smtpPorts, ...httpPort };
      logger.info({ ...ports, host: config.host, pipeline: config.pipeline, tls: hasTls(config) }, 'listening');
      return ports;
    },
    stop: () => life.stop(),
  };
}

/** What no longer counts is forgotten: idempotency keys, what keys have sent, failed log-ins, sessions, Message-IDs beside OpenSend. */
function housekeeping({ live, pool, logger }: ProcessParts): Disposable {
  const sweep = () =>
    Promise.all([
      deleteExpiredIdempotency(pool),
      deleteOldKeyUsage(pool),
      deleteOldFailedLogins(pool, live.current.limits.failedLoginsPeriod),
      deleteOldSessions(pool, live.current.sessions.kept),
      deleteOldArrivals(pool, live.current.sessions.kept),
      deleteOldTraces(pool),
      ...(live.current.pipeline === 'opensend' ? [deleteOldMessageIds(pool)] : []),
    ]);
  return startSweeps({ sweep, logger });
}

import type pg from 'pg';
import manifest from '../package.json' with { type: 'json' };
import { greetingName, hasTls, recipientLimit, senderDomainsMode } from './config/derived.ts';
import type { Config } from './config/schema.ts';
import type { Listener } from './http/listener.ts';
import { createHttpMetrics } from './http/metrics.ts';
import { type Condition, createOperationalListener } from './http/operational.ts';
import { Parser } from './message/parser.ts';
import type { Logger } from './observability/log.ts';
import { createRegistry } from './observability/metrics.ts';
import { createRouteLimits, type RouteLimits } from './policy/routes.ts';
import { Publisher } from './queue/publisher.ts';
import { createThreadedSqsQueue, type ThreadedQueue } from './queue/threaded-queue.ts';
import { type AcceptDependencies, accept } from './smtp/accept.ts';
import { ByteBudget } from './smtp/byte-budget.ts';
import { gatherFacts } from './smtp/facts.ts';
import { createNetworkMatcher } from './smtp/networks.ts';
import { RelayServer } from './smtp/server.ts';
import type { SessionDependencies } from './smtp/session.ts';
import { readTlsPair, type TlsPair } from './smtp/tls.ts';
import { watchTlsPair } from './smtp/tls-watch.ts';
import { findByHash, touchLastUsed } from './store/api-keys.ts';
import { createOwnershipCache } from './store/domains.ts';
import { deleteExpiredIdempotency, findIdempotency } from './store/idempotency.ts';
import { Intake } from './store/intake.ts';
import { createKeyCache } from './store/key-cache.ts';
import { createLastUsedWriter } from './store/last-used.ts';
import { Outbox } from './store/outbox.ts';
import { createPool } from './store/pool.ts';
import { Preparation } from './store/preparation.ts';
import { createSuppressionLookup } from './store/suppression-lookup.ts';

/** A relay that can be started once and stopped once. */
export interface App {
  /**
   * Prepares the database and listens. A database or queue that is down does not keep the relay from starting.
   *
   * @returns the ports, also where the configuration asked for any free one
   * @throws where the database belongs to another pipeline, a port is taken, or the certificate cannot be used
   */
  start(): Promise<{ readonly port: number; readonly implicitTlsPort?: number; readonly httpPort?: number }>;
  /** Finishes what is under way, and frees everything. Also after a start that failed or has not ended. */
  stop(): Promise<void>;
}

export interface AppDependencies {
  readonly logger: Logger;
}

/** How much of `shutdownTimeout` sessions have; the rest is for publishing and closing. */
const DRAIN_SHARE = 0.8;
const HOUSEKEEPING_INTERVAL = 60 * 60 * 1000;

/** Wires the relay together. Nothing happens before `start`. */
export async function createApp(config: Config, { logger }: AppDependencies): Promise<App> {
  const pool = createPool({ databaseUrl: config.databaseUrl, ...config.database }, logger.child({ room: 'store' }));
  const preparation = createPreparation(config, pool, logger);
  const parser = new Parser(config.parsing);
  const queue = createQueue(config);
  const publisher = queue && createPublisher(config, queue, pool, logger);
  const lastUsed = createLastUsedWriter({ write: ids => touchLastUsed(pool, ids), logger });
  const session = createSessionDependencies({ config, pool, parser, publisher, lastUsed, preparation, logger });
  const running = new AsyncDisposableStack();
  let phase: Phase = 'starting';
  const ready = () => readiness(preparation, phase);
  let operational: Listener | null = null;

  return {
    async start() {
      // First, so that probes are answered while the database is prepared.
      operational = createOperational(config, { pool, queue, ready, logger });
      const httpPort = await operational?.open();
      await preparation.start();
      publisher?.start();
      running.use(housekeeping(pool, logger));
      const smtpPorts = await listen(config, session, running, logger);
      if (phase === 'starting') phase = 'serving';
      const ports = { ...smtpPorts, ...(httpPort !== undefined && { httpPort }) };
      logger.info({ ...ports, host: config.host, pipeline: config.pipeline, tls: hasTls(config) }, 'listening');
      return ports;
    },
    async stop() {
      phase = 'stopping';
      // In reverse: clients first, then what serves them, the database last.
      await running.disposeAsync();
      await parser.close();
      await Promise.all([preparation.stop(), publisher?.stop(), lastUsed.stop()]);
      await pool.end();
      await operational?.close();
      logger.info('stopped');
    },
  };
}

function createPreparation(config: Config, pool: pg.Pool, logger: Logger): Preparation {
  return new Preparation({
    databaseUrl: config.databaseUrl,
    pool,
    pipeline: config.pipeline,
    migrations: config.migrations,
    connectTimeout: config.database.connectTimeout,
    logger: logger.child({ room: 'store' }),
  });
}

/** `serving` from when all ports are open until the stop. */
type Phase = 'starting' | 'serving' | 'stopping';

function readiness(preparation: Preparation, phase: Phase): Condition {
  const reasons = [
    ...(preparation.isReady ? [] : ['the database is not prepared yet']),
    ...(phase === 'serving' ? [] : [phase]),
  ];
  return { ok: reasons.length === 0, reasons };
}

interface OperationalParts {
  readonly pool: pg.Pool;
  readonly queue: ThreadedQueue | null;
  readonly ready: () => Condition;
  readonly logger: Logger;
}

function createOperational(config: Config, { pool, queue, ready, logger }: OperationalParts): Listener | null {
  if (config.httpPort === 0) return null;
  const registry = createRegistry();
  const dependencies = { postgres: () => pool.query('select 1'), ...(queue && { sqs: () => queue.check() }) };
  return createOperationalListener({
    host: config.httpHost,
    port: config.httpPort,
    role: 'relay',
    version: manifest.version,
    checks: { ready, dependencies },
    registry,
    metrics: createHttpMetrics(registry),
    logger: logger.child({ room: 'http' }),
  });
}

/** Without a queue there is nothing to publish to: OpenSend's worker polls the rows, ours the outbox. */
function createQueue(config: Config): ThreadedQueue | null {
  if (config.queueUrl === '') return null;
  return createThreadedSqsQueue({
    queueUrl: config.queueUrl,
    region: config.awsRegion,
    endpoint: config.sqsEndpoint || null,
    connections: config.publishing.concurrency,
    fairQueue: config.fairQueue,
  });
}

function createPublisher(config: Config, queue: ThreadedQueue, pool: pg.Pool, logger: Logger): Publisher {
  const child = logger.child({ room: 'queue' });
  return new Publisher({ queue, outbox: new Outbox(pool), logger: child, options: config.publishing });
}

interface SessionParts {
  readonly config: Config;
  readonly pool: pg.Pool;
  readonly parser: Parser;
  readonly publisher: Publisher | null;
  readonly lastUsed: { mark(keyId: string): void };
  readonly preparation: Preparation;
  readonly logger: Logger;
}

function createSessionDependencies(parts: SessionParts): SessionDependencies {
  const { config, pool, lastUsed, preparation, logger } = parts;
  const keys = createKeyCache({ find: hash => findByHash(pool, hash) });
  const findSuppressed = createSuppressionLookup(pool);
  const limits = routeLimits(config);
  const dependencies = createAcceptDependencies(parts, limits, findSuppressed);
  return {
    findKey: async hash => {
      if (!preparation.isReady) throw new Error('the database is not ready');
      return keys.lookup(hash);
    },
    markUsed: keyId => lastUsed.mark(keyId),
    findSuppressed,
    accept: submission => accept(submission, dependencies),
    settings: {
      failedLogins: config.limits.failedLogins,
      refuseSuppressedRecipients: config.suppression === 'recipient' && config.recipients === 'envelope',
      smtpUtf8: limits.anySmtpUtf8,
    },
    logger: logger.child({ room: 'smtp' }),
  };
}

/** OpenSend's worker knows SES only. */
function routeLimits({ pipeline, routes, transport }: Config): RouteLimits {
  return pipeline === 'opensend' ? createRouteLimits([], 'ses') : createRouteLimits(routes, transport);
}

function createAcceptDependencies(
  { config, pool, parser, publisher }: SessionParts,
  limits: RouteLimits,
  findSuppressed: SessionDependencies['findSuppressed'],
): AcceptDependencies {
  const standalone = config.pipeline === 'standalone';
  const ownership = createOwnershipCache(pool);
  const intake = new Intake(pool, { outboxLease: outboxLease(config) });
  const sources = {
    findSuppressed,
    isOwned: senderDomainsMode(config) === 'owned' ? ownership.isOwned : null,
    limitsOf: limits.of,
    sentAsReceived: standalone,
  };
  return {
    settings: {
      recipientSource: config.recipients,
      recipientLimit: recipientLimit(config),
      headerBytes: config.limits.headerBytes,
      attachmentBytes: config.limits.attachmentBytes,
      mimeDepth: config.limits.mimeDepth,
      mimeParts: config.limits.mimeParts,
      keepOriginal: standalone,
    },
    parser,
    facts: question => gatherFacts(question, sources),
    store: message => intake.store(message),
    findRepeat: (userId, claim) => findIdempotency(pool, userId, claim),
    publish: job => publisher?.publish(job),
  };
}

/**
 * With a queue, the writer of an entry has the lease's time to publish it. Without one, our own worker takes entries at
 * once, and OpenSend's worker needs none.
 */
function outboxLease(config: Config): number | null {
  if (config.queueUrl !== '') return config.publishing.leaseTime;
  return config.pipeline === 'standalone' ? 0 : null;
}

async function listen(config: Config, session: SessionDependencies, running: AsyncDisposableStack, logger: Logger) {
  const tls = hasTls(config) ? await readTlsPair(config.tls) : null;
  if (tls === null) logger.warn('no TLS certificate is configured: API keys and messages travel in clear text');
  const servers: RelayServer[] = [];
  running.defer(async () => {
    await Promise.all(servers.map(server => server.drain(config.shutdownTimeout * DRAIN_SHARE)));
  });
  const shared = {
    tls,
    session,
    budget: new ByteBudget(config.limits.bytesInFlight),
    countConnections: () => servers.reduce((count, server) => count + server.connections.size, 0),
    isProxy: createNetworkMatcher(config.proxyProtocol.networks),
    logger: logger.child({ room: 'smtp' }),
  };
  const open = (port: number, implicitTls: boolean): Promise<number> => {
    const settings = serverSettings(config, { implicitTls, startTls: tls !== null && !implicitTls });
    const server = new RelayServer({ ...shared, settings });
    servers.push(server);
    return server.open(port, config.host);
  };
  const port = await open(config.port, false);
  const implicitTlsPort = config.tls.implicitPort === 0 ? null : await open(config.tls.implicitPort, true);
  if (tls) {
    const useEverywhere = (pair: TlsPair): void => {
      for (const server of servers) server.useTls(pair);
    };
    running.defer(watchTlsPair({ paths: config.tls, current: tls, onChange: useEverywhere, logger }));
  }
  return { port, ...(implicitTlsPort !== null && { implicitTlsPort }) };
}

function serverSettings(config: Config, mode: { readonly implicitTls: boolean; readonly startTls: boolean }) {
  return {
    ...mode,
    name: greetingName(config),
    messageBytes: config.maxMessageSizeBytes,
    bareLineEndings: config.bareLineEndings,
    recipients: recipientLimit(config),
    connections: config.limits.connections,
    idleTimeout: config.limits.idleTimeout,
    dataTimeout: config.limits.dataTimeout,
    sessionTimeout: config.limits.sessionTimeout,
    proxyHeaderTimeout: config.proxyProtocol.headerTimeout,
  };
}

/** Idempotency keys are forgotten when they no longer count. */
function housekeeping(pool: pg.Pool, logger: Logger): Disposable {
  const timer = setInterval(() => {
    deleteExpiredIdempotency(pool).catch(error => logger.warn({ err: error }, 'expired idempotency keys not deleted'));
  }, HOUSEKEEPING_INTERVAL).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

import { databaseLogin, greetingName } from '../config/derived.ts';
import { perGeneration } from '../config/live.ts';
import type { Config } from '../config/schema.ts';
import type { Context } from '../context.ts';
import type { ObjectStore } from '../objects/store.ts';
import type { Logger } from '../observability/log.ts';
import type { DatabaseClock } from '../postgres/clock.ts';
import { listenTo, OUTBOX_CHANNEL } from '../postgres/notifications.ts';
import type { JobSink, JobSource } from '../queue/jobs.ts';
import { createOutboxSource } from '../queue/outbox-source.ts';
import { createSqsSource } from '../queue/sqs/source.ts';
import { createQueueMetrics, queueNameOf, sqsAttributes } from '../queue/telemetry.ts';
import { createConfiguredRoutes, type DeclaredRoutes, perRoutes } from '../routing/declared-routes.ts';
import { Claims } from '../store/delivery/claims.ts';
import { createJournal } from '../store/delivery/journal.ts';
import { readOldestWaiting } from '../store/delivery/oldest-waiting.ts';
import { SharedSendRates } from '../store/delivery/send-rates.ts';
import { Settler, Standstill } from '../store/delivery/settle.ts';
import { JobFactsReader, PutOffs } from '../store/delivery/unclaimed.ts';
import { Probes } from '../store/delivery/workers.ts';
import { Outbox } from '../store/messages/outbox.ts';
import { createDomainLookup } from '../store/owners/domain-lookup.ts';
import { createSuppressionLookup } from '../store/owners/suppressions.ts';
import { createTokens } from '../tracking/token.ts';
import { Deliverer, type DelivererOptions } from './deliverer.ts';
import { MessageTry, type SendDependencies } from './message-try.ts';
import { createCircuitMetrics, createDeliveryMetrics, createWaitingMetrics } from './metrics.ts';
import { createNoticeBuilder } from './notices/failure-notice.ts';
import { createOriginals } from './originals.ts';
import { createWholeMessages } from './outgoing/large-message.ts';
import { createOutgoingBuilder, createTrack } from './outgoing/outgoing.ts';
import { createProbeTurns } from './schedule/circuit.ts';
import { createWays, type Ways } from './schedule/ways.ts';
import { createCaptureTransport } from './transport/capture/transport.ts';
import { createRoutes, createTransports, type Transports } from './transport/routes.ts';
import { createSesMetrics } from './transport/ses/metrics.ts';
import type { SendRates } from './transport/ses/rate/account.ts';
import { createSesTransport } from './transport/ses/transport.ts';
import { createSimulator } from './transport/simulated/simulator.ts';
import { createSmtpTransport } from './transport/smtp/transport.ts';
import type { WorkerHeartbeat } from './worker-heartbeat.ts';
import { createWriteReadiness, type WriteReadiness } from './write-readiness.ts';

export interface DeliveryParts extends Context {
  readonly heartbeat: WorkerHeartbeat;
  readonly clock: DatabaseClock;
  readonly objects: ObjectStore;
  /** Webhook deliveries have become due. */
  readonly onDeliveriesDue: () => void;
  /** Events are kept that are to be told later. */
  readonly onEventsLater: () => void;
}

/** Puts the room together from the configuration: what handles jobs, and the transports that it uses. */
export function createDelivery(parts: DeliveryParts): {
  readonly deliverer: Deliverer;
  readonly transports: Transports;
  readonly writeReadiness: WriteReadiness;
  readonly ways: Ways;
} {
  const { live, pool, registry, tracer, id, onDeliveriesDue, onEventsLater } = parts;
  const config = live.current;
  const logger = parts.logger.child({ room: 'delivery' });
  const { firstPause: first, longestPause: longest } = config.retries;
  const claims = new Claims(pool, { worker: id, leaseTime: config.worker.leaseTime, alonePause: { first, longest } });
  const standstill = new Standstill(logger);
  const metrics = createDeliveryMetrics(registry, () => standstill.isOn);
  const journal = createJournal({ directory: config.worker.journal, logger });
  const settler = new Settler({ pool, worker: id, journal, standstill, logger });
  const declared = createConfiguredRoutes(live, pool, logger);
  const transports = createAllTransports(parts, declared, logger);
  const tokens = perGeneration(live, ({ tracking: { secrets } }) => {
    return { tokens: createTokens(secrets), canSign: secrets.length > 0 };
  });
  const departure = {
    findDomain: createDomainLookup(pool),
    transportFor: async (domain: string) => {
      // Where documents declare routes, a message must not leave by another one only because they were not read yet.
      await declared.current();
      return transports.transportFor(domain);
    },
    captureTransport: () => transports.captureTransport(),
  };
  const originals = createOriginals(pool, parts.objects);
  const outgoing = createOutgoingBuilder({
    ...departure,
    ...originals,
    wholeMessages: createWholeMessages({
      concurrency: config.worker.concurrency,
      bytes: config.worker.bytesInFlight,
    }),
    receivedHeader: () => live.current.receivedHeader,
    unsignedForSes: config.ses.clientSignatures === 'remove',
    track: createTrack({ tokens, baseUrl: config.tracking.baseUrl, logger }),
    logger,
  });
  const now = () => parts.clock.now().getTime();
  const dependencies: SendDependencies = {
    claims,
    settler,
    standstill,
    now,
    findSuppressed: createSuppressionLookup(pool),
    simulator: createSimulator({
      isOn: () => live.current.simulatedRecipients === 'on',
      transportOf: outgoing.transportOf,
    }),
    simulatedDelay: () => live.current.simulatedDelay,
    outgoing,
    notices:
      config.failureNotices === 'on'
        ? createNoticeBuilder({
            reportingMta: greetingName(config),
            readHeader: originals.readHeader,
          })
        : null,
    policy: { ...config.retries, onUnknownOutcome: config.onUnknownOutcome },
    onDeliveriesDue,
    onEventsLater,
    metrics,
    tracer,
    logger,
  };
  createWaitingMetrics(registry, () => readOldestWaiting(pool));
  const circuitMetrics = createCircuitMetrics(registry);
  const ways = createWays({
    ...departure,
    nameOf: transport => transports.nameOf(transport),
    pauses: config.retries,
    turns: createProbeTurns({ probes: new Probes(pool), logger }),
    onChange: () => deliverer.pump(),
    metrics: circuitMetrics,
    logger,
  });
  const putOffs = new PutOffs(pool);
  const deliverer: Deliverer = new Deliverer({
    claims,
    facts: new JobFactsReader(pool),
    putOffs,
    ways,
    tryMessage: (claim, trace, how) => new MessageTry(claim, trace, how, dependencies).run(),
    holdMessage: (claim, trace, how) => new MessageTry(claim, trace, how, dependencies).hold(),
    giveUp: (claim, trace, how, error) => new MessageTry(claim, trace, how, dependencies).giveUp(error),
    standstill,
    metrics,
    circuitMetrics,
    now,
    tracer,
    source: jobSource(config.queueUrl),
    logger,
    options: delivererOptions(config),
  });
  const writeReadiness = createWriteReadiness({
    pool,
    claims,
    putOffs,
    settler,
    standstill,
    hasNotices: dependencies.notices !== null,
    logger,
  });
  return { deliverer, transports, writeReadiness, ways };
}

/** Jobs that wait, for each message that may be under way: more than enough to go on with, and ids only. */
const PLACES = 32;

function delivererOptions({ worker, retries }: Config): DelivererOptions {
  const { concurrency, leaseTime, pollInterval } = worker;
  const half = Math.ceil(worker.bytesInFlight / 2);
  return {
    concurrency,
    callsPerWay: worker.callsPerRoute || Math.max(1, Math.ceil(concurrency * 0.75)),
    bytes: { small: half, large: half },
    leaseTime,
    pollInterval,
    takeOverLimit: concurrency,
    places: Math.max(100, concurrency * PLACES),
    maxAge: retries.maxAge,
  };
}

/** What traces say of where jobs come from. */
function jobSource(queueUrl: string) {
  if (queueUrl === '') return { name: 'outbox', attributes: { 'messaging.operation.type': 'process' } };
  const name = queueNameOf(queueUrl);
  return { name, attributes: sqsAttributes(name, 'process', 'process') };
}

function createAllTransports(
  { live, pool, heartbeat, registry }: DeliveryParts,
  declared: DeclaredRoutes,
  logger: Logger,
): Transports {
  const config = live.current;
  // Routes on one account share its rate.
  const sharedRates = new Map<string, SendRates>();
  const rateStore = new SharedSendRates(pool);
  const metrics = createSesMetrics(registry);
  return createTransports(perRoutes(live, declared, createRoutes), {
    ses: (settings, route) =>
      createSesTransport({
        options: {
          endpoint: settings.endpoint || null,
          region: settings.region || config.awsRegion,
          configurationSet: settings.configurationSet || null,
          roleArn: settings.roleArn || null,
          sendRate: settings.sendRate,
          timeout: settings.timeout,
        },
        liveWorkers: () => heartbeat.liveWorkers,
        sharedRates,
        rateStore,
        metrics,
        logger: logger.child({ route }),
      }),
    smtp: (settings, route) =>
      createSmtpTransport({ ...settings, name: greetingName(config), logger: logger.child({ route }) }),
    capture: (settings, route) => createCaptureTransport({ ...settings, logger: logger.child({ route }) }),
  });
}

export interface SourceParts extends Context {
  /** Where the jobs go. */
  readonly sink: JobSink;
}

/** Jobs come from the queue, or without one straight from the outbox. */
export function createSource({ live, pool, sink, registry, logger }: SourceParts): JobSource {
  const { worker, queueUrl, awsRegion, sqsEndpoint, database } = live.current;
  const shared = { sink, metrics: createQueueMetrics(registry), logger: logger.child({ room: 'queue' }) };
  if (queueUrl !== '') {
    const { consumers, leaseTime } = worker;
    const options = { queueUrl, region: awsRegion, endpoint: sqsEndpoint || null, consumers, leaseTime };
    return createSqsSource({ ...shared, options });
  }
  const { connectTimeout } = database;
  const databaseUrl = () => databaseLogin(live.current);
  return createOutboxSource({
    ...shared,
    options: { pollInterval: worker.pollInterval, leaseTime: worker.leaseTime },
    outbox: new Outbox(pool),
    listen: onNotification =>
      listenTo({ databaseUrl, channel: OUTBOX_CHANNEL, connectTimeout, onNotification, logger: shared.logger }),
  });
}

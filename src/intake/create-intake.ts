import { sendsToPeople } from '../config/derived.ts';
import { type LiveConfig, perGeneration } from '../config/live.ts';
import type { Config } from '../config/schema.ts';
import type { Context } from '../context.ts';
import { createFairScheduler } from '../flow/fair-scheduler.ts';
import { simulationOf } from '../message/addresses/simulator-address.ts';
import type { Parser } from '../message/parser.ts';
import type { ObjectStore } from '../objects/store.ts';
import type { Publisher } from '../queue/publisher.ts';
import { createConfiguredRoutes, perRoutes } from '../routing/declared-routes.ts';
import { createRouteLimits, type RouteLimits } from '../routing/routes.ts';
import { findIdempotency } from '../store/intake/idempotency.ts';
import { type IntakeMetrics, Intake as MessageStore } from '../store/intake/intake.ts';
import { createKeyCache, findByHash, findById, findIdByHash, hashKey } from '../store/keys/api-keys.ts';
import { FailedLogins } from '../store/keys/failed-logins.ts';
import { createOwnershipCache } from '../store/owners/domain-lookup.ts';
import { createSuppressionLookup } from '../store/owners/suppressions.ts';
import { ArrivalLog } from '../store/sessions/arrival-log.ts';
import { writeArrivals, writePublished } from '../store/sessions/arrivals.ts';
import { Onlookers } from '../store/sessions/onlookers.ts';
import { createSessionLogMetrics, SessionLog } from '../store/sessions/session-log.ts';
import { writeSessions } from '../store/sessions/sessions.ts';
import { findTraces, writeTraceLines } from '../store/sessions/traces.ts';
import { type AcceptDependencies, type Accepted, accept } from './accept.ts';
import { Admission, type AdmissionLimits } from './admission.ts';
import { createAllowList } from './facts.ts';
import type { HeaderReader } from './header-reader.ts';
import { createOriginalKeeper, createOriginalMetrics } from './originals.ts';
import { RateLimits, usageLimits } from './rate-limits.ts';
import type { StepTimes } from './steps.ts';
import type { ApiKey, Submission } from './submission.ts';

/** What sessions need of the path of messages, and of the keys and limits that it keeps. Shared by all listeners. */
export interface Intake extends Pick<AcceptDependencies, 'findSuppressed' | 'isAllowed' | 'rates'> {
  readonly keys: Keys;
  /** Counts failed log-ins by subject (an address, a key), over all pods. */
  readonly failedLogins: Pick<FailedLogins, 'countOf' | 'add'>;
  readonly admission: Admission;
  /** Takes sessions in which something was not accepted. */
  readonly sessions: SessionLog;
  /** Takes how messages arrived that go to nobody. */
  readonly arrivals: ArrivalLog;
  /** Shows sessions as they happen, from its start on. */
  readonly onlookers: Onlookers;
  /** Whether any transport takes other characters than ASCII in local parts; which one it is shows in From. */
  readonly smtpUtf8: boolean;
  accept(submission: Submission): Promise<Accepted>;
}

export type { ArrivalLog } from '../store/sessions/arrival-log.ts';
export type { SessionLog } from '../store/sessions/session-log.ts';
export type { KeptSession, SessionLine, SessionStep } from '../store/sessions/sessions.ts';

/** API keys. What is known of them is up to nine seconds old. */
export interface Keys {
  /** What stands for a key that a client has given, which is not kept. */
  hash(key: string): string;
  /** @returns null for an unknown one. @throws where the database cannot be asked */
  findByHash(hash: string): Promise<ApiKey | null>;
  findById(id: string): Promise<ApiKey | null>;
  /** The id of a key, also of one that is refused: one that is blocked, or that has no owner. */
  findId(hash: string): Promise<string | null>;
  /** Notes that a key was used. */
  markUsed(id: string): void;
}

export interface IntakeParts extends Context {
  readonly parser: Parser;
  readonly headers: HeaderReader;
  readonly objects: ObjectStore;
  /** null where jobs are not published. */
  readonly publisher: Publisher | null;
  readonly lastUsed: { mark(keyId: string): void };
  /** Whether the database can be used as yet. */
  readonly isReady: () => boolean;
  readonly metrics: IntakeMetrics;
  readonly stepTimes: StepTimes;
  /** Takes the place of what would store; left out, all is stored. */
  readonly instead?: Pick<AcceptDependencies, 'store' | 'originals' | 'findRepeat'>;
}

const MIB = 1024 * 1024;
/**
 * Messages that are read in threads and stored at one time, of all keys, and bytes of them; one that is larger is alone. And how many
 * bytes of one key are enough to keep the database busy: what else its clients send stays with them.
 */
const LARGE = { concurrency: 4, bytes: 32 * MIB, enough: 20 * MIB };

/** Puts the room together. Each message is under the settings that are in force at its end. */
export function createIntake(parts: IntakeParts): Intake {
  const { live, pool, publisher, parser, headers, stepTimes, tracer } = parts;
  const declared = createConfiguredRoutes(live, pool, parts.logger.child({ room: 'store' }));
  const limits = perRoutes(live, declared, routeLimits);
  const allowed = perGeneration(live, createAddressTest);
  const messages = new MessageStore(pool, { outboxLease: outboxLease(live.current) }, parts.metrics);
  const shared: Omit<AcceptDependencies, 'config'> = {
    findSuppressed: createSuppressionLookup(pool),
    isOwned: createOwnershipCache(pool).isOwned,
    limitsOf: domain => limits().of(domain),
    isAllowed: address => allowed()(address),
    rates: createRateLimits(live),
    parser,
    headers,
    scheduler: createFairScheduler(LARGE),
    originals: createOriginalKeeper({
      config: live.current,
      db: pool,
      objects: parts.objects,
      metrics: createOriginalMetrics(parts.registry),
      logger: parts.logger.child({ room: 'intake' }),
    }),
    store: (message, cancellation) => messages.store(message, cancellation),
    findRepeat: (userId, claim) => findIdempotency(pool, userId, claim),
    publish: job => publisher?.publish(job),
    stepTimes,
    tracer,
    ...parts.instead,
  };
  const dependencies = perGeneration(live, config => ({ ...shared, config }));
  const onlookers = createOnlookers(parts);
  return {
    ...shared,
    keys: createKeys(parts),
    failedLogins: new FailedLogins(pool, { period: () => live.current.limits.failedLoginsPeriod }),
    admission: new Admission(perGeneration(live, admissionLimits), shared.scheduler),
    sessions: createSessions(parts, onlookers),
    arrivals: createArrivals(parts),
    onlookers,
    get smtpUtf8() {
      return limits().anySmtpUtf8;
    },
    accept: submission => accept(submission, dependencies()),
  };
}

function createOnlookers({ pool, id, isReady, logger }: IntakeParts): Onlookers {
  return new Onlookers({
    find: async () => (isReady() ? findTraces(pool) : []),
    write: lines => writeTraceLines(pool, lines),
    pod: id,
    logger: logger.child({ room: 'store' }),
  });
}

function createSessions({ live, pool, registry, id, logger }: IntakeParts, onlookers: Onlookers): SessionLog {
  return new SessionLog({
    write: sessions => writeSessions(pool, sessions),
    period: () => live.current.sessions.kept,
    pod: id,
    onlookers,
    metrics: createSessionLogMetrics(registry),
    logger: logger.child({ room: 'store' }),
  });
}

function createArrivals({ live, pool, id, logger }: IntakeParts): ArrivalLog {
  return new ArrivalLog({
    write: arrivals => writeArrivals(pool, arrivals),
    writePublished: published => writePublished(pool, published),
    wants: perGeneration(live, config => {
      if (config.pipeline !== 'standalone' || config.sessions.kept === 0) return 'none';
      return sendsToPeople(config) ? 'captured' : 'all';
    }),
    pod: id,
    logger: logger.child({ room: 'store' }),
  });
}

function createKeys({ pool, isReady, lastUsed }: IntakeParts): Keys {
  const byHash = createKeyCache({ find: hash => findByHash(pool, hash) });
  const byId = createKeyCache({ find: id => findById(pool, id) });
  const ids = createKeyCache({ find: hash => findIdByHash(pool, hash) });
  const requireReady = (): void => {
    if (!isReady()) throw new Error('the database is not ready');
  };
  return {
    hash: hashKey,
    findByHash: async hash => {
      requireReady();
      return byHash.lookup(hash);
    },
    findById: async id => {
      requireReady();
      return byId.lookup(id);
    },
    findId: hash => ids.lookup(hash),
    markUsed: id => lastUsed.mark(id),
  };
}

function createRateLimits(live: LiveConfig): RateLimits {
  const forAll = perGeneration(live, ({ limits }) => usageLimits(limits));
  return new RateLimits(({ limits, chaos }) => {
    const { messagesPerMinute } = chaos ?? {};
    if (messagesPerMinute) return usageLimits(live.current.limits, { ...limits, messagesPerMinute });
    return limits ? usageLimits(live.current.limits, limits) : forAll();
  });
}

/** Whether mail may go to an address: what is only played goes to nobody. */
function createAddressTest({
  recipientAllowList,
  pipeline,
  simulatedRecipients,
}: Config): (address: string) => boolean {
  const isListed = createAllowList(recipientAllowList);
  if (pipeline !== 'standalone' || simulatedRecipients === 'off') return isListed;
  return address => isListed(address) || simulationOf(address) !== null;
}

/** OpenSend's worker knows SES only. */
function routeLimits({ pipeline, routes, transport }: Config): RouteLimits {
  return pipeline === 'opensend' ? createRouteLimits([], 'ses') : createRouteLimits(routes, transport);
}

/** A key that is alone can send the largest message, however small its share would be. */
function admissionLimits({ limits, maxMessageSizeBytes }: Config): AdmissionLimits {
  const bytes = limits.bytesInFlight;
  return { bytes, share: Math.max(limits.bytesShare / 100, Math.min(1, maxMessageSizeBytes / bytes)) };
}

/**
 * With a queue, the writer of an entry has the lease's time to publish it. Without one, our own worker takes entries at
 * once, and OpenSend's worker needs none.
 */
function outboxLease(config: Config): number | null {
  if (config.queueUrl !== '') return config.publishing.leaseTime;
  return config.pipeline === 'standalone' ? 0 : null;
}

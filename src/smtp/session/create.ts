import type pg from 'pg';
import { recipientLimit, senderDomainsMode } from '../../config/derived.ts';
import { type LiveConfig, perGeneration } from '../../config/live.ts';
import type { Config } from '../../config/schema.ts';
import { createFairScheduler } from '../../flow/fair-scheduler.ts';
import { Tally } from '../../flow/tally.ts';
import { type AcceptDependencies, accept } from '../../intake/accept.ts';
import { createAllowList, gatherFacts } from '../../intake/facts.ts';
import type { HeaderReader } from '../../intake/header-reader.ts';
import { RateLimits, usageLimits } from '../../intake/rate-limits.ts';
import type { AcceptSettings } from '../../intake/submission.ts';
import { simulationOf } from '../../message/addresses/simulator-address.ts';
import type { Parser } from '../../message/parser.ts';
import type { Logger } from '../../observability/log.ts';
import type { Tracer } from '../../observability/tracing.ts';
import type { Publisher } from '../../queue/publisher.ts';
import { createConfiguredRoutes, perRoutes } from '../../routing/declared-routes.ts';
import { createRouteLimits, type RouteLimits } from '../../routing/routes.ts';
import { findIdempotency } from '../../store/intake/idempotency.ts';
import { Intake, type IntakeMetrics } from '../../store/intake/intake.ts';
import { createKeyCache, findByHash, findById } from '../../store/keys/api-keys.ts';
import { FailedLogins } from '../../store/keys/failed-logins.ts';
import { createOwnershipCache } from '../../store/owners/domain-lookup.ts';
import { createSuppressionLookup } from '../../store/owners/suppressions.ts';
import type { SmtpMetrics } from '../metrics.ts';
import { LoginGuard } from './login-guard.ts';
import type { SessionDependencies, SessionSettings } from './session.ts';

export interface SessionParts {
  readonly live: LiveConfig;
  readonly pool: pg.Pool;
  readonly parser: Parser;
  readonly headers: HeaderReader;
  /** null where jobs are not published. */
  readonly publisher: Publisher | null;
  readonly lastUsed: { mark(keyId: string): void };
  /** Whether the database can be used as yet. */
  readonly isReady: () => boolean;
  readonly metrics: SmtpMetrics;
  readonly intakeMetrics: IntakeMetrics;
  readonly tracer: Tracer;
  readonly logger: Logger;
}

/** Messages that are read in threads and stored at one time, of all keys, and bytes of them; one that is larger is alone. */
const LARGE_AT_ONCE = 4;
const LARGE_BYTES_AT_ONCE = 32 * 1024 * 1024;

/** Puts together what sessions share. Each message is under the settings that are in force at its end. */
export function createSessionDependencies(parts: SessionParts): SessionDependencies {
  const { live, pool, lastUsed, isReady, metrics, tracer } = parts;
  const logger = parts.logger.child({ room: 'smtp' });
  const keys = createKeyCache({ find: hash => findByHash(pool, hash) });
  const keysById = createKeyCache({ find: id => findById(pool, id) });
  const findSuppressed = createSuppressionLookup(pool);
  const declared = createConfiguredRoutes(live, pool, logger.child({ room: 'store' }));
  const limits = perRoutes(live, declared, routeLimits);
  const allowed = perGeneration(live, createAddressTest);
  const isAllowed = (address: string): boolean => allowed()(address);
  const forAll = perGeneration(live, config => usageLimits(config.limits));
  const rates = new RateLimits(({ limits }) => (limits ? usageLimits(live.current.limits, limits) : forAll()));
  const dependenciesFor = createAcceptDependencies(parts, { limits, findSuppressed, isAllowed, rates });
  const settings = perRoutes(live, declared, config => sessionSettings(config, routeLimits(config)));
  return {
    findKey: async hash => {
      if (!isReady()) throw new Error('the database is not ready');
      return keys.lookup(hash);
    },
    findKeyById: async id => {
      if (!isReady()) throw new Error('the database is not ready');
      return keysById.lookup(id);
    },
    markUsed: keyId => lastUsed.mark(keyId),
    findSuppressed,
    accept: submission => accept(submission, dependenciesFor()),
    isAllowed,
    guard: createLoginGuard(live, { pool, metrics, logger }),
    sessions: new Tally(),
    rates,
    metrics,
    tracer,
    get settings() {
      return settings();
    },
    logger,
  };
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

function createLoginGuard(
  live: LiveConfig,
  { pool, metrics, logger }: Pick<SessionParts, 'pool' | 'metrics' | 'logger'>,
): LoginGuard {
  const failedLogins = new FailedLogins(pool, { period: () => live.current.limits.failedLoginsPeriod });
  return new LoginGuard({ failedLogins, limits: () => live.current.limits, metrics, logger });
}

function sessionSettings(config: Config, limits: RouteLimits): SessionSettings {
  return {
    failedLogins: config.limits.failedLogins,
    sessionsPerKey: config.limits.sessionsPerKey,
    keyShare: keyShare(config.limits),
    envelopeDecides: config.recipients === 'envelope',
    refuseRecipientsElsewhere: config.recipientsElsewhere === 'refuse' && config.recipients === 'envelope',
    refuseSuppressedRecipients: config.suppression === 'recipient' && config.recipients === 'envelope',
    smtpUtf8: limits.anySmtpUtf8,
  };
}

/** How many sessions the share comes to; one is always let in. */
function keyShare(limits: Config['limits']): number {
  return Math.max(1, Math.floor((limits.connections * limits.keyShare) / 100));
}

/** OpenSend's worker knows SES only. */
function routeLimits({ pipeline, routes, transport }: Config): RouteLimits {
  return pipeline === 'opensend' ? createRouteLimits([], 'ses') : createRouteLimits(routes, transport);
}

interface AcceptParts extends Pick<SessionDependencies, 'findSuppressed' | 'isAllowed' | 'rates'> {
  readonly limits: () => RouteLimits;
}

/** @returns what a message of this moment needs: one generation's settings from its beginning to its end */
function createAcceptDependencies(
  { live, pool, parser, headers, publisher, intakeMetrics }: SessionParts,
  { limits, findSuppressed, isAllowed, rates }: AcceptParts,
): () => AcceptDependencies {
  const ownership = createOwnershipCache(pool);
  const turns = createFairScheduler({ concurrency: LARGE_AT_ONCE, bytes: LARGE_BYTES_AT_ONCE });
  const intake = new Intake(pool, { outboxLease: outboxLease(live.current) }, intakeMetrics);
  return perGeneration(live, config => {
    const sources = {
      findSuppressed,
      isOwned: ownership.isOwned,
      asksOwned: senderDomainsMode(config) === 'owned',
      notices: config.pipeline === 'standalone' && config.failureNotices === 'on',
      // Declared routes change within a generation.
      limitsOf: (domain: string) => limits().of(domain),
      sentAsReceived: config.pipeline === 'standalone',
    };
    return {
      settings: acceptSettings(config),
      parser,
      headers,
      turns,
      isAllowed,
      rates,
      facts: question => gatherFacts(question, sources),
      store: (message, standing) => intake.store(message, standing),
      findRepeat: (userId, claim) => findIdempotency(pool, userId, claim),
      publish: job => publisher?.publish(job),
    };
  });
}

function acceptSettings(config: Config): AcceptSettings {
  return {
    recipientSource: config.recipients,
    recipientLimit: recipientLimit(config),
    recipientsElsewhere: config.recipientsElsewhere,
    headerBytes: config.limits.headerBytes,
    attachmentBytes: config.limits.attachmentBytes,
    mimeDepth: config.limits.mimeDepth,
    mimeParts: config.limits.mimeParts,
    longLines: config.longLines,
    unsignedForSes: config.ses.clientSignatures === 'remove',
    keepOriginal: config.pipeline === 'standalone',
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

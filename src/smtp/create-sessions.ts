import type pg from 'pg';
import { recipientLimit, senderDomainsMode } from '../config/derived.ts';
import { type LiveConfig, perGeneration } from '../config/live.ts';
import type { Config } from '../config/schema.ts';
import type { Parser } from '../message/parser.ts';
import type { Logger } from '../observability/log.ts';
import { createRouteLimits, type RouteLimits } from '../policy/routes.ts';
import type { Publisher } from '../queue/publisher.ts';
import { findByHash } from '../store/api-keys.ts';
import { createOwnershipCache } from '../store/domains.ts';
import { findIdempotency } from '../store/idempotency.ts';
import { Intake } from '../store/intake.ts';
import { createKeyCache } from '../store/key-cache.ts';
import { createSuppressionLookup } from '../store/suppression-lookup.ts';
import { type AcceptDependencies, accept } from './accept.ts';
import { gatherFacts } from './facts.ts';
import type { SessionDependencies, SessionSettings } from './session.ts';
import type { AcceptSettings } from './submission.ts';

export interface SessionParts {
  readonly live: LiveConfig;
  readonly pool: pg.Pool;
  readonly parser: Parser;
  /** null where jobs are not published. */
  readonly publisher: Publisher | null;
  readonly lastUsed: { mark(keyId: string): void };
  /** Whether the database can be used as yet. */
  readonly isReady: () => boolean;
  readonly logger: Logger;
}

/** Puts together what sessions share. Each message is under the settings that are in force at its end. */
export function createSessionDependencies(parts: SessionParts): SessionDependencies {
  const { live, pool, lastUsed, isReady, logger } = parts;
  const keys = createKeyCache({ find: hash => findByHash(pool, hash) });
  const findSuppressed = createSuppressionLookup(pool);
  const limits = perGeneration(live, routeLimits);
  const dependenciesFor = createAcceptDependencies(parts, limits, findSuppressed);
  const settings = perGeneration(live, config => sessionSettings(config, limits()));
  return {
    findKey: async hash => {
      if (!isReady()) throw new Error('the database is not ready');
      return keys.lookup(hash);
    },
    markUsed: keyId => lastUsed.mark(keyId),
    findSuppressed,
    accept: submission => accept(submission, dependenciesFor()),
    get settings() {
      return settings();
    },
    logger: logger.child({ room: 'smtp' }),
  };
}

function sessionSettings(config: Config, limits: RouteLimits): SessionSettings {
  return {
    failedLogins: config.limits.failedLogins,
    refuseSuppressedRecipients: config.suppression === 'recipient' && config.recipients === 'envelope',
    smtpUtf8: limits.anySmtpUtf8,
  };
}

/** OpenSend's worker knows SES only. */
function routeLimits({ pipeline, routes, transport }: Config): RouteLimits {
  return pipeline === 'opensend' ? createRouteLimits([], 'ses') : createRouteLimits(routes, transport);
}

/** @returns what a message of this moment needs: one generation's settings from its beginning to its end */
function createAcceptDependencies(
  { live, pool, parser, publisher }: SessionParts,
  limits: () => RouteLimits,
  findSuppressed: SessionDependencies['findSuppressed'],
): () => AcceptDependencies {
  const ownership = createOwnershipCache(pool);
  const intake = new Intake(pool, { outboxLease: outboxLease(live.current) });
  return perGeneration(live, config => {
    const sources = {
      findSuppressed,
      isOwned: senderDomainsMode(config) === 'owned' ? ownership.isOwned : null,
      limitsOf: limits().of,
      sentAsReceived: config.pipeline === 'standalone',
    };
    return {
      settings: acceptSettings(config),
      parser,
      facts: question => gatherFacts(question, sources),
      store: message => intake.store(message),
      findRepeat: (userId, claim) => findIdempotency(pool, userId, claim),
      publish: job => publisher?.publish(job),
    };
  });
}

function acceptSettings(config: Config): AcceptSettings {
  return {
    recipientSource: config.recipients,
    recipientLimit: recipientLimit(config),
    headerBytes: config.limits.headerBytes,
    attachmentBytes: config.limits.attachmentBytes,
    mimeDepth: config.limits.mimeDepth,
    mimeParts: config.limits.mimeParts,
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

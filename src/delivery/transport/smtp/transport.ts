import type { Logger } from '../../../observability/log.ts';
import type { OutgoingMessage, RecipientOutcome, Transport } from '../contract.ts';
import { classifySmtpFailure, messageIdIn, oneLine, type SmtpFailure } from './classify.ts';
import { SmtpSessionError, type SmtpSettings } from './connection.ts';
import { planEnvelope } from './envelope.ts';
import { SmtpPool } from './pool.ts';
import type { SessionResult, SmtpSession } from './session.ts';

export interface SmtpTransportOptions extends SmtpSettings {
  /** The most connections at the same time. */
  readonly connections: number;
  /** Messages after which a connection is replaced; 100 unless given. */
  readonly messagesPerConnection?: number;
  /** Milliseconds after which a connection without work is closed; 30 s unless given. */
  readonly idleTimeout?: number;
  readonly logger: Logger;
}

/** RFC 5321 section 4.5.3.1.8: what every server takes. */
const MAX_RECIPIENTS = 100;
const GROWTH_PAUSE = 10_000;

/**
 * Sends through a smarthost: the bytes as they are and the envelope as it is, over connections that are kept. What its
 * replies mean is in `classify.ts`.
 */
export function createSmtpTransport(options: SmtpTransportOptions): Transport {
  const { connections, messagesPerConnection = 100, idleTimeout = 30_000, logger, ...settings } = options;
  const pool = new SmtpPool({
    settings,
    connections,
    messagesPerConnection,
    idleTimeout,
    growthPause: GROWTH_PAUSE,
  });
  return {
    kind: 'smtp',
    maxRecipients: MAX_RECIPIENTS,
    calls: connections,
    async send(message, signal) {
      try {
        return await sendOnce(pool, message, signal, false);
      } catch (error) {
        const outcome = classifySmtpFailure(failureIn(error));
        logger.warn({ err: error, host: settings.host, port: settings.port }, 'smarthost cannot be used');
        return [{ recipients: message.recipients, outcome }];
      }
    },
    close: () => pool.close(),
  };
}

/**
 * A kept connection may have died without a sign. What fails on it before the smarthost has seen the message is sent again
 * on a new one, once.
 */
async function sendOnce(
  pool: SmtpPool,
  message: OutgoingMessage,
  signal: AbortSignal,
  fresh: boolean,
): Promise<RecipientOutcome[]> {
  const session = await pool.acquire(signal, fresh);
  const isReused = session.messages > 0;
  const { outcomes, result } = await sendOver(session, message, signal).finally(() => pool.release(session));
  if (result?.untouched && isReused && !signal.aborted) return sendOnce(pool, message, signal, true);
  return outcomes;
}

interface Sent {
  readonly outcomes: RecipientOutcome[];
  readonly result: SessionResult | null;
}

async function sendOver(session: SmtpSession, message: OutgoingMessage, signal: AbortSignal): Promise<Sent> {
  const { envelope, refused } = planEnvelope(message, session.capabilities);
  if (envelope === null) return { outcomes: [...refused], result: null };
  const result = await session.send(envelope, message.raw, signal);
  return { outcomes: [...refused, ...outcomesOf(envelope.recipients, result)], result };
}

function outcomesOf(recipients: readonly string[], result: SessionResult): RecipientOutcome[] {
  const rejected = new Set(result.rejected.map(({ recipient }) => recipient));
  const others = recipients.filter(recipient => !rejected.has(recipient));
  const outcomes = result.rejected.map(({ recipient, failure }) => ({
    recipients: [recipient],
    outcome: classifySmtpFailure(failure),
  }));
  return others.length === 0 ? outcomes : [...outcomes, { recipients: others, outcome: commonOutcome(result) }];
}

function commonOutcome({ failure, response }: SessionResult): RecipientOutcome['outcome'] {
  if (failure) return classifySmtpFailure(failure);
  const text = response ?? '';
  return { kind: 'sent', providerMessageId: messageIdIn(text), response: oneLine(text) };
}

/** All faults on the way to a session are known to come before the message; so is a mistake of ours in between. */
function failureIn(error: unknown): SmtpFailure {
  if (error instanceof SmtpSessionError) return error.failure;
  return { step: 'connect', reply: null, fault: 'EUNKNOWN' };
}

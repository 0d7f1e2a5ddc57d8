import type { LiveConfig } from '../config/live.ts';
import type { Intake } from '../intake/create-intake.ts';
import { NO_ARRIVAL } from '../intake/rehearsal.ts';
import type { Envelope } from '../intake/submission.ts';
import { Refusal } from '../message/refusal.ts';
import { createLogger } from '../observability/log.ts';
import { createRegistry } from '../observability/metrics.ts';
import { NO_TRACING } from '../observability/tracing.ts';
import { IncomingMessage } from './data/incoming-message.ts';
import { sessionDependencies } from './listeners.ts';
import { createSmtpMetrics } from './metrics.ts';
import { replyTo } from './protocol/replies.ts';
import { authenticationFailed } from './session/key.ts';
import { Session, type SessionDependencies, type Step } from './session/session.ts';

/** A message as it came in. */
export interface RehearsedMessage {
  readonly envelope: Envelope;
  readonly clientAddress: string;
  readonly raw: Buffer;
}

export interface RehearsedRefusal {
  readonly step: Step;
  /** The one that RCPT named; null at other steps. */
  readonly recipient: string | null;
  /** As the client would see it. */
  readonly reply: string;
  readonly rule: string;
}

/** What a client would be told that sends a message with a certain key. */
export interface Rehearsed {
  /** Whether the message would be accepted, though maybe not for all of its recipients. */
  readonly isAccepted: boolean;
  readonly refusals: readonly RehearsedRefusal[];
}

/**
 * Finds out what the relay would answer to a message now, sent with any key: by the session, the checks and the path that clients meet, up
 * to the commit, which is not made (`intake/rehearsal.ts`).
 */
export class Rehearsal {
  readonly #live: Pick<LiveConfig, 'current'>;
  readonly #intake: Intake;
  readonly #deps: SessionDependencies;

  /** @param intake one that stores nothing */
  constructor(live: LiveConfig, intake: Intake) {
    this.#live = live;
    this.#intake = intake;
    const metrics = createSmtpMetrics(createRegistry());
    const logger = createLogger({ level: 'silent', format: 'json' });
    this.#deps = sessionDependencies({ live, intake, metrics, tracer: NO_TRACING, logger });
  }

  /**
   * @param keyId the id of the key
   * @throws what is a fault of ours, such as the database's error; the reason of the signal that calls it off
   */
  async try(keyId: string, message: RehearsedMessage, signal: AbortSignal): Promise<Rehearsed> {
    if ((await this.#intake.keys.findById(keyId)) === null) return refused('AUTH', authenticationFailed());
    const { envelope, clientAddress } = message;
    const session = new Session(
      { id: 'rehearsal', clientAddress, isNamed: false, trustedKey: () => keyId },
      this.#deps,
    );
    const refusals: RehearsedRefusal[] = [];
    let step: Step = 'MAIL';
    try {
      await session.mail({ address: envelope.reversePath, args: envelope.smtpUtf8 ? { SMTPUTF8: true } : false });
      step = 'RCPT';
      const recipients: string[] = [];
      for (const address of envelope.recipients) {
        try {
          recipients.push(await session.recipient({ address, args: false }, envelope.smtpUtf8, recipients));
        } catch (error) {
          refusals.push(refusalFrom(step, error, address));
        }
      }
      if (recipients.length === 0) return { isAccepted: false, refusals };
      step = 'DATA';
      await this.#send(session, { ...message, envelope: { ...envelope, recipients } }, signal);
      return { isAccepted: true, refusals };
    } catch (error) {
      return { isAccepted: false, refusals: [...refusals, refusalFrom(step, error)] };
    } finally {
      session.closed();
    }
  }

  async #send(
    session: Session,
    { envelope, clientAddress, raw }: RehearsedMessage,
    signal: AbortSignal,
  ): Promise<void> {
    const { maxMessageSizeBytes: messageBytes, bareLineEndings } = this.#live.current;
    const holding = this.#intake.admission.begin(session.holder);
    const incoming = new IncomingMessage({ messageBytes, bareLineEndings }, holding);
    const callOff = new AbortController();
    signal.throwIfAborted();
    const end = () => callOff.abort(signal.reason);
    signal.addEventListener('abort', end, { once: true });
    try {
      incoming.push(dotted(raw));
      const arrival = { ...NO_ARRIVAL, clientAddress };
      await session.message({ ...incoming.take(), envelope, arrival, beganAt: Date.now() }, callOff);
    } finally {
      signal.removeEventListener('abort', end);
      incoming.release();
    }
  }
}

/** As a client writes it behind DATA, in memory of its own: RFC 5321 section 4.5.2. */
function dotted(raw: Buffer): Buffer {
  const text = raw.toString('latin1');
  const end = text.endsWith('\r\n') ? '.\r\n' : '\r\n.\r\n';
  return Buffer.from(`${text.replaceAll(/(^|\r\n)\./g, '$1..')}${end}`, 'latin1');
}

function refused(step: Step, error: Refusal): Rehearsed {
  return { isAccepted: false, refusals: [refusalFrom(step, error)] };
}

/** @throws the error where it is none that a client is told */
function refusalFrom(step: Step, error: unknown, recipient: string | null = null): RehearsedRefusal {
  if (!(error instanceof Refusal)) throw error;
  const { code, enhancedCode, text, rule } = replyTo(error);
  return { step, recipient, reply: `${code} ${enhancedCode} ${text}`, rule };
}

import { isAscii, localPartOf } from '../message/address.ts';
import { Refusal } from '../message/refusal.ts';
import type { Logger } from '../observability/log.ts';
import type { Span, Tracer } from '../observability/tracing.ts';
import { outsideRefusal, undeclaredLocalPart, unsupportedLocalPart } from '../policy/decide.ts';
import { type ApiKey, hashKey } from '../store/api-keys.ts';
import type { Arrival } from '../store/new-message.ts';
import type { Accepted } from './accept.ts';
import type { PathCommand } from './command-line.ts';
import type { ReceivedMessage } from './incoming-message.ts';
import type { LoginGuard } from './login-guard.ts';
import { beginMessageSpan, refuseMessageSpan } from './message-span.ts';
import type { LoginResult, SmtpMetrics } from './metrics.ts';
import type { RateLimits } from './rate-limits.ts';
import { isFault, replyTo } from './reply.ts';
import { Steps } from './steps.ts';
import type { Envelope, Submission } from './submission.ts';
import type { Tally } from './tally.ts';

/** What sessions share. */
export interface SessionDependencies {
  /** The key with this hash (`hashKey`); null for an unknown one. */
  readonly findKey: (hash: string) => Promise<ApiKey | null>;
  /** The key with this id; null where there is none. */
  readonly findKeyById: (id: string) => Promise<ApiKey | null>;
  /** Notes that a key was used. */
  readonly markUsed: (keyId: string) => void;
  /** Those of the addresses that are on the owner's suppression list. */
  readonly findSuppressed: (userId: string, addresses: readonly string[]) => Promise<readonly string[]>;
  readonly accept: (submission: Submission) => Promise<Accepted>;
  readonly isAllowed: (address: string) => boolean;
  readonly guard: LoginGuard;
  /** Sessions by key; shared by all listeners. */
  readonly sessions: Tally;
  readonly rates: RateLimits;
  readonly metrics: SmtpMetrics;
  readonly tracer: Tracer;
  readonly settings: SessionSettings;
  readonly logger: Logger;
}

export interface SessionSettings {
  readonly failedLogins: number;
  /** The most sessions of one key; 0: as many as its share. */
  readonly sessionsPerKey: number;
  /** The most sessions that any key may have of all. */
  readonly keyShare: number;
  /** Refuse a recipient outside the allow list at RCPT. */
  readonly refuseRecipientsElsewhere: boolean;
  /** Refuse a suppressed recipient at RCPT, and not the whole message at its end. */
  readonly refuseSuppressedRecipients: boolean;
  /** Whether any transport takes other characters than ASCII in local parts; which one it is shows in From. */
  readonly smtpUtf8: boolean;
}

/** What is refused: a connection, to go on with it (`session`), a command, or a message at its end (`DATA`). */
export type Step = 'connect' | 'session' | 'AUTH' | 'MAIL' | 'RCPT' | 'DATA';

/** Who is at the other end. */
export interface Client {
  readonly id: string;
  readonly clientAddress: string;
  /** The id of the key as which it may send without a log-in now; null for none. */
  readonly trustedKey: () => string | null;
}

/**
 * What the relay makes of one client's commands. The library keeps the protocol's order (`connection.ts`); each method
 * here is one step of it, and throws what the client is told.
 */
export class Session {
  readonly #deps: SessionDependencies;
  readonly #logger: Logger;
  readonly #client: Client;
  #keyHash: string | null = null;
  #failedLogins = 0;
  /** The key that this session is counted for. */
  #countedFor: string | null = null;
  #closed = false;

  constructor(client: Client, deps: SessionDependencies) {
    this.#deps = deps;
    this.#client = client;
    this.#logger = deps.logger.child({ session: client.id, client: client.clientAddress });
  }

  /** Whether the client may send without a log-in. */
  get isTrusted(): boolean {
    return this.#client.trustedKey() !== null;
  }

  /** The connection has ended. */
  closed(): void {
    this.#closed = true;
    this.#stopCounting();
  }

  /** AUTH: the password is the API key. */
  async authenticate(password: string): Promise<void> {
    if (this.#failedLogins >= this.#deps.settings.failedLogins) throw tooManyLogins();
    const hash = hashKey(password);
    const key = await this.#findLogin(hash);
    this.#countFor(key);
    this.#deps.metrics.logins.inc({ result: 'succeeded' });
    this.#keyHash = hash;
    this.#deps.markUsed(key.id);
  }

  /** The key with this hash, after the wait that failed log-ins before it have earned. */
  async #findLogin(hash: string): Promise<ApiKey> {
    const { guard, findKey } = this.#deps;
    const { clientAddress } = this.#client;
    await guard.admit(clientAddress, hash).catch(error => {
      this.#failedLogins += 1;
      throw error;
    });
    const key = await findKey(hash).catch(cause => {
      throw new Refusal({ code: 454, enhancedCode: '4.7.0', text: KEYS_UNREACHABLE, rule: 'auth_fault', cause });
    });
    if (key === null) {
      this.#failedLogins += 1;
      await guard.failed(clientAddress, hash);
      throw new Refusal({ code: 535, enhancedCode: '5.7.8', text: 'Authentication failed', rule: 'auth' });
    }
    guard.succeeded(clientAddress, hash);
    return key;
  }

  /** @throws Refusal 421 where the key has as many sessions as it may */
  #countFor({ id, limits }: ApiKey): void {
    if (this.#closed || this.#countedFor === id) return;
    this.#stopCounting();
    const { sessionsPerKey, keyShare } = this.#deps.settings;
    const limit = (limits?.sessions ?? sessionsPerKey) || keyShare;
    if (!this.#deps.sessions.tryTake(id, Math.min(limit, keyShare))) throw tooManySessions();
    this.#countedFor = id;
    this.#deps.metrics.sessions.inc();
  }

  #stopCounting(): void {
    if (this.#countedFor === null) return;
    this.#deps.sessions.giveBack(this.#countedFor);
    this.#deps.metrics.sessions.dec();
    this.#countedFor = null;
  }

  /** MAIL. */
  async mail(command: PathCommand): Promise<void> {
    this.#refuseForeignLocalPart(command.address, command.args !== false && 'SMTPUTF8' in command.args);
    const key = await this.#currentKey();
    if (this.#keyHash === null && this.#countedFor !== key.id) this.#beginTrusted(key);
    this.#deps.rates.check(key, 1);
  }

  /** The first MAIL of a client that has not logged in, as this key. */
  #beginTrusted(key: ApiKey): void {
    this.#countFor(key);
    this.#deps.metrics.logins.inc({ result: 'trusted' });
    this.#logger.info({ key: key.id, owner: key.userId }, 'session of a trusted network, without a login');
  }

  /** RCPT. @param smtpUtf8 whether MAIL said SMTPUTF8 */
  async recipient(command: PathCommand, smtpUtf8: boolean): Promise<void> {
    this.#refuseForeignLocalPart(command.address, smtpUtf8);
    const { refuseSuppressedRecipients, refuseRecipientsElsewhere } = this.#deps.settings;
    if (refuseRecipientsElsewhere && !this.#deps.isAllowed(command.address)) throw outsideRefusal(command.address);
    if (!refuseSuppressedRecipients) return;
    const { userId } = await this.#currentKey();
    const [suppressed] = await this.#deps.findSuppressed(userId, [command.address]);
    if (suppressed !== undefined) {
      const text = `${suppressed} is on your suppression list`;
      throw new Refusal({ code: 550, enhancedCode: '5.1.1', text, rule: 'suppressed' });
    }
  }

  /**
   * The end of DATA.
   *
   * @param beganAt when the message began to arrive, in milliseconds since 1970
   * @returns the text behind `250 2.0.0`
   */
  async message(envelope: Envelope, arrival: Arrival, received: ReceivedMessage, beganAt: number): Promise<string> {
    const started = performance.now();
    const span = beginMessageSpan(this.#deps.tracer, arrival, received.raw.length, beganAt);
    try {
      const text = await this.#accept({ envelope, arrival, ...received }, span, started);
      span.set({ 'smtp_relay.reply_code': 250 });
      this.#deps.metrics.acceptance.observe((performance.now() - started) / 1000);
      return text;
    } catch (error) {
      refuseMessageSpan(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  async #accept(message: Omit<Submission, 'owner' | 'steps'>, span: Span, started: number): Promise<string> {
    const { tracer, metrics } = this.#deps;
    const steps = new Steps(metrics.steps, tracer, span);
    const key = await steps.take('key', () => this.#currentKey());
    const owner = { userId: key.userId, keyDomain: key.domain, key };
    const accepted = await this.#deps.accept({ ...message, owner, steps });
    span.set({ 'smtp_relay.email_id': accepted.emailId, 'smtp_relay.recipients': accepted.recipients });
    this.#deps.markUsed(key.id);
    const result = accepted.repeated ? 'repeated' : accepted.captured ? 'captured' : 'queued';
    this.#deps.metrics.messages.inc({ result });
    this.#logger.info(
      {
        emailId: accepted.emailId,
        traceId: span.context.correlationId,
        owner: key.userId,
        bytes: accepted.bytes,
        recipients: accepted.recipients,
        ms: Math.round(performance.now() - started),
      },
      `message ${result}`,
    );
    return `Ok: queued as ${accepted.emailId}`;
  }

  /** Logs a command or message that was not accepted. */
  refused(step: Step, error: unknown): void {
    const { code, enhancedCode, rule } = replyTo(error);
    this.#deps.metrics.refusals.inc({ step, rule });
    if (step === 'AUTH') this.#deps.metrics.logins.inc({ result: loginResult(rule) });
    if (isFault(error)) this.#logger.error({ err: error, step, code }, 'not accepted: fault on our side');
    // Too many connections may be very many, and pools leave theirs idle until they are ended.
    else
      this.#logger[step === 'connect' || step === 'session' ? 'debug' : 'info'](
        { step, code, enhancedCode, rule },
        'refused',
      );
  }

  /** Counts a message that arrived and was not accepted. */
  messageRefused(error: unknown): void {
    const { code, rule } = replyTo(error);
    const result = rule === 'fault' ? 'fault' : code < 500 ? 'deferred' : 'refused';
    this.#deps.metrics.messages.inc({ result });
  }

  /** The session's key as it is now: a revoked one ends what an open connection may do. */
  async #currentKey(): Promise<ApiKey> {
    const trustedKey = this.#client.trustedKey();
    if (this.#keyHash === null && trustedKey !== null) return this.#trustedKey(trustedKey);
    const key = this.#keyHash === null ? null : await this.#deps.findKey(this.#keyHash);
    if (key === null) {
      const text = 'The API key is not valid any more: log in again on a new connection';
      throw new Refusal({ code: 530, enhancedCode: '5.7.0', text, rule: 'key_revoked' });
    }
    return key;
  }

  async #trustedKey(id: string): Promise<ApiKey> {
    const key = await this.#deps.findKeyById(id);
    if (key !== null) return key;
    this.#logger.warn({ key: id }, 'the key of a trusted network does not exist');
    throw new Refusal({ code: 530, enhancedCode: '5.7.0', text: 'Authentication required', rule: 'key_revoked' });
  }

  /** RFC 6531 section 3.4: such an address goes with SMTPUTF8 only, and only where the transport has it too. */
  #refuseForeignLocalPart(address: string, smtpUtf8: boolean): void {
    if (address === '' || isAscii(localPartOf(address))) return;
    if (!this.#deps.settings.smtpUtf8) throw unsupportedLocalPart();
    if (!smtpUtf8) throw undeclaredLocalPart();
  }
}

function loginResult(rule: string): LoginResult {
  if (rule === 'auth') return 'failed';
  return rule === 'auth_fault' || rule === 'fault' ? 'fault' : 'refused';
}

function tooManySessions(): Refusal {
  const text = 'This API key has as many sessions as it may: close one first';
  return new Refusal({ code: 421, enhancedCode: '4.7.0', text, rule: 'sessions_per_key' });
}

const KEYS_UNREACHABLE = 'Temporary fault on our side, the key cannot be checked: try again later';

function tooManyLogins(): Refusal {
  const text = 'Too many failed logins on this connection: check the API key';
  return new Refusal({ code: 421, enhancedCode: '4.7.0', text, rule: 'failed_logins' });
}

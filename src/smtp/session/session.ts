import { Abandoned } from '../../flow/cancellation.ts';
import type { Holder } from '../../intake/admission.ts';
import type { Intake } from '../../intake/create-intake.ts';
import { outsideRefusal, undeclaredLocalPart, unsupportedLocalPart } from '../../intake/decide.ts';
import type { ApiKey, Submission } from '../../intake/submission.ts';
import {
  comparableAddress,
  comparableDomain,
  domainOf,
  isAscii,
  localPartOf,
} from '../../message/addresses/address.ts';
import { tooManyRecipients } from '../../message/addresses/recipients.ts';
import { Refusal } from '../../message/refusal.ts';
import type { Logger } from '../../observability/log.ts';
import type { Span, Tracer } from '../../observability/tracing.ts';
import type { ReceivedMessage } from '../data/incoming-message.ts';
import type { LoginResult } from '../metrics.ts';
import { type PathCommand, POSTMASTER } from '../protocol/commands.ts';
import { isFault, replyTo } from '../protocol/replies.ts';
import { handshakeDetail, handshakeFailure } from '../tls/handshakes.ts';
import { logAccepted, resultOf } from './accepted-line.ts';
import { KeyChaos } from './chaos.ts';
import type { ConnectChaos } from './connect-chaos.ts';
import { type Client, type KnownKey, SessionKey, type SessionKeyDependencies } from './key.ts';
import { beginMessageSpan, refuseMessageSpan } from './message-span.ts';
import { Transcript } from './transcript.ts';

/** What sessions share. */
export interface SessionDependencies extends SessionKeyDependencies {
  readonly intake: Intake;
  readonly tracer: Tracer;
  readonly logger: Logger;
  /** Shared by all listeners. */
  readonly connectChaos: ConnectChaos;
}

const NOBODY: Holder = { key: '', owner: '' };

/** A client that does all wrong has as many lines in the log, and as many again for each message that it gets accepted. */
const MAX_REFUSED_LINES = 25;

/** A message that has arrived in full. */
export interface MessageReceived extends ReceivedMessage, Pick<Submission, 'envelope' | 'arrival'> {
  /** When it began to arrive, in milliseconds since 1970. */
  readonly beganAt: number;
}

/** What is refused: a connection, to go on with it (`session`), a command, or a message at its end (`DATA`). */
export type Step = 'connect' | 'session' | 'AUTH' | 'MAIL' | 'RCPT' | 'DATA';

/** How many of those who are refused at RCPT a message remembers; more are tried by nobody who means well. */
const MAX_REFUSED = 100;

/**
 * What the relay makes of one client's commands. The library keeps the protocol's order (`connection.ts`); each method
 * here is one step of it, and throws what the client is told.
 */
export class Session {
  /** The id of the key as which the client may send without a log-in now; null for none. */
  readonly trustedKey: Client['trustedKey'];
  /** What is said; null where that is not kept. */
  readonly transcript: Transcript | null;
  readonly #deps: SessionDependencies;
  readonly #client: Client;
  #childLogger: Logger | null = null;
  readonly #key: SessionKey;
  readonly #chaos: KeyChaos;
  /** Recipients of the message at hand who were refused for the suppression list. */
  #refused: readonly string[] = [];
  #reversePath = '';
  /** Of the transaction under way, as the next one. */
  #mostRecipients = Number.POSITIVE_INFINITY;
  #holder: Holder = NOBODY;
  /** Lines that may still be logged of what is refused. */
  #linesLeft = MAX_REFUSED_LINES;

  constructor(client: Client, deps: SessionDependencies) {
    this.#deps = deps;
    this.#client = client;
    this.trustedKey = client.trustedKey;
    const { sessions, arrivals } = deps.intake;
    this.transcript = sessions.isHeard ? new Transcript(client, sessions, arrivals) : null;
    this.#key = new SessionKey(client, deps, this);
    this.#chaos = new KeyChaos(deps.metrics);
  }

  /** Made when there is something to say: idle sessions have none. */
  get logger(): Logger {
    const { id, clientAddress } = this.#client;
    this.#childLogger ??= this.#deps.logger.child({ session: id, client: clientAddress });
    return this.#childLogger;
  }

  /** The connection has ended. */
  closed(): void {
    this.#key.closed();
    this.transcript?.closed();
  }

  /** @param error what ended the handshake; null where the connection just ended */
  handshakeFailed(error: Error | null): void {
    const said = error ? handshakeDetail(error) : 'the client closed the connection';
    this.transcript?.failed('TLS', `tls_${handshakeFailure(error)}`, `no TLS: ${said}`);
  }

  /** TLS begins. */
  secured(protocol: string | null, cipher: string): void {
    this.transcript?.note(`TLS: ${protocol ?? 'unknown'}, ${cipher}`, 'tls');
  }

  knownAs(key: KnownKey): void {
    this.transcript?.knownAs(key);
  }

  /** One more AUTH, whatever becomes of it. @throws Refusal 421 where the connection has had too many */
  attemptLogIn(): void {
    this.#key.attempt();
  }

  /** AUTH: the password is the API key. */
  authenticate(password: string): Promise<void> {
    return this.#key.logIn(password, key => {
      this.#useChaos(key);
      return this.#chaos.before('AUTH');
    });
  }

  #useChaos(key: ApiKey): void {
    this.#chaos.use(key);
    const { clientAddress, isNamed } = this.#client;
    if (isNamed) this.#deps.connectChaos.seen(clientAddress, key);
  }

  /** MAIL. */
  async mail(command: PathCommand): Promise<void> {
    this.#refused = [];
    this.#reversePath = command.address;
    this.#refuseForeignLocalPart(command.address, command.args !== false && 'SMTPUTF8' in command.args);
    const key = await this.#key.atMail();
    this.#useChaos(key);
    await this.#chaos.before('MAIL');
    const { rates } = this.#deps.intake;
    rates.check(key, 1);
    this.#mostRecipients = rates.mostRecipients(key);
    this.#holder = { key: key.id, owner: key.userId };
  }

  /** DATA, before anything else: takes as long as its reply is to take; null where that is no longer than ever. */
  slowness(): Promise<void> | null {
    return this.#chaos.slowness();
  }

  /** DATA. @returns why no message may begin; null where one may */
  refusalOfData(): Refusal | null {
    return this.#chaos.refusalOf('DATA');
  }

  /** Whether the connection is to end in the middle of the message that begins now. */
  isToBeCut(): boolean {
    const isCut = this.#chaos.cutsMessage();
    if (isCut) this.transcript?.failed('DATA', 'chaos', 'chaos: the connection is cut in the middle of the message');
    return isCut;
  }

  /** Whose message is under way. */
  get holder(): Holder {
    return this.#holder;
  }

  /**
   * RCPT.
   *
   * @param smtpUtf8 whether MAIL said SMTPUTF8
   * @param others the addresses of the RCPT commands before it
   * @returns the recipient's address
   */
  async recipient(command: PathCommand, smtpUtf8: boolean, others: readonly string[]): Promise<string> {
    await this.#chaos.before('RCPT');
    const address = command.address === POSTMASTER ? await this.#postmaster() : command.address;
    this.#refuseForeignLocalPart(address, smtpUtf8);
    const { recipients, recipientsElsewhere, suppression } = this.#deps.live.current;
    // Where the header names the recipients, the end of the message tells.
    if (recipients !== 'envelope') return address;
    this.#refuseTooMany(address, others);
    if (recipientsElsewhere === 'refuse' && !this.#deps.intake.isAllowed(address)) throw outsideRefusal(address);
    if (suppression === 'recipient') await this.#refuseSuppressed(address);
    return address;
  }

  async #refuseSuppressed(address: string): Promise<void> {
    const { userId } = await this.#key.current();
    const [suppressed] = await this.#deps.intake.findSuppressed(userId, [address]);
    if (suppressed !== undefined) {
      if (this.#refused.length < MAX_REFUSED) this.#refused = [...new Set([...this.#refused, suppressed])];
      const text = `${suppressed} is on your suppression list`;
      throw new Refusal({ code: 550, enhancedCode: '5.1.1', text, rule: 'suppressed' });
    }
  }

  /**
   * The end of DATA.
   *
   * @param callOff calls the message off: its client has gone, or is cut off
   * @returns the text behind `250 2.0.0`
   * @throws Refusal what the client is told; Abandoned where nobody is to be told anything
   */
  async message(message: MessageReceived, callOff: AbortController): Promise<string> {
    const started = performance.now();
    const span = beginMessageSpan(this.#deps.tracer, message);
    try {
      const text = await this.#accept(message, span, started, callOff);
      span.set({ 'smtp_relay.reply_code': 250 });
      this.#deps.metrics.accepted((performance.now() - started) / 1000, span.context);
      await this.#chaos.holdBack(callOff.signal, seconds =>
        this.transcript?.note(`chaos: the 250 comes ${seconds} s later`),
      );
      return text;
    } catch (error) {
      refuseMessageSpan(span, error);
      throw error;
    } finally {
      span.end();
    }
  }

  async #accept(message: MessageReceived, span: Span, started: number, callOff: AbortController): Promise<string> {
    const { intake, metrics } = this.#deps;
    await this.#chaos.before('message', callOff.signal);
    const findKey = () => this.#key.current();
    const accepted = await intake.accept({ ...message, refused: this.#refused, findKey, callOff, span });
    const { key } = accepted;
    const isUnheard = callOff.signal.reason instanceof Abandoned;
    if (isUnheard) metrics.unheard.inc();
    span.set({ 'smtp_relay.email_id': accepted.emailId, 'smtp_relay.recipients': accepted.recipients });
    intake.keys.markUsed(key.id);
    this.transcript?.accepted(accepted);
    this.#linesLeft = MAX_REFUSED_LINES;
    metrics.messages.inc({ result: resultOf(accepted) });
    for (const { reason } of accepted.leftOut) metrics.headersLeftOut.inc({ reason });
    logAccepted(this.logger, accepted, { traceId: span.context.correlationId, isUnheard, started });
    return `Ok: queued as ${accepted.emailId}`;
  }

  /** Logs a command or message that was not accepted. */
  refused(step: Step, error: unknown): void {
    const { code, enhancedCode, rule } = replyTo(error);
    this.#deps.metrics.refusals.inc({ step, rule });
    this.transcript?.refused(step, rule);
    if (step === 'AUTH') this.#deps.metrics.logins.inc({ result: loginResult(rule) });
    // Too many connections may be very many, and pools leave theirs idle until they are ended.
    const level = step === 'connect' || step === 'session' ? 'debug' : 'info';
    if (this.#linesLeft < 0) return;
    if (this.#linesLeft === 0) this.logger.warn('no more is logged of what is refused in this session');
    else if (isFault(error)) this.logger.error({ err: error, step, code }, 'not accepted: fault on our side');
    else this.logger[level]({ step, code, enhancedCode, rule }, 'refused');
    this.#linesLeft -= 1;
  }

  /** Counts a message whose client went before it was stored. */
  messageAbandoned(): void {
    this.#deps.metrics.messages.inc({ result: 'abandoned' });
    this.transcript?.failed('DATA', 'abandoned', 'the client closed the connection before it had its reply');
    this.logger.info('message abandoned: the client went before it was stored');
  }

  /** Counts a message that arrived and was not accepted. */
  messageRefused(error: unknown): void {
    const { code, rule } = replyTo(error);
    const result = rule === 'fault' ? 'fault' : code < 500 ? 'deferred' : 'refused';
    this.#deps.metrics.messages.inc({ result });
  }

  /** At the domain of the key, or that of MAIL. @throws Refusal 553 where there is neither */
  async #postmaster(): Promise<string> {
    const { domain } = await this.#key.current();
    const at = domain || domainOf(this.#reversePath);
    if (at !== '') return `${POSTMASTER}@${comparableDomain(at)}`;
    const text = 'postmaster has no domain here: write postmaster@ and a domain';
    throw new Refusal({ code: 553, enhancedCode: '5.1.3', text, rule: 'postmaster' });
  }

  /** One that is named again is no other. */
  #refuseTooMany(address: string, others: readonly string[]): void {
    if (others.length < this.#mostRecipients) return;
    const key = comparableAddress(address);
    if (!others.some(other => comparableAddress(other) === key)) throw tooManyRecipients(this.#mostRecipients);
  }

  /** RFC 6531 section 3.4: such an address goes with SMTPUTF8 only, and only where the transport has it too. */
  #refuseForeignLocalPart(address: string, smtpUtf8: boolean): void {
    if (address === '' || isAscii(localPartOf(address))) return;
    if (!this.#deps.intake.smtpUtf8) throw unsupportedLocalPart();
    if (!smtpUtf8) throw undeclaredLocalPart();
  }
}

function loginResult(rule: string): LoginResult {
  if (rule === 'auth') return 'failed';
  return rule === 'auth_fault' || rule === 'fault' ? 'fault' : 'refused';
}

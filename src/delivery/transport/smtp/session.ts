import { Readable } from 'node:stream';
import type SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { SMTPConnectionEnvelope, SMTPConnectionSendInfo, SMTPEnvelope } from 'nodemailer/lib/smtp-connection';
import { type OutgoingBytes, piecesOf } from '../../outgoing/bytes.ts';
import type { SmtpFailure } from './classify.ts';
import {
  addMailParameter,
  type ConnectionError,
  createConnection,
  failureOf,
  fault,
  readPassword,
  rethrowAs,
  SmtpSessionError,
  type SmtpSettings,
} from './connection.ts';
import type { SessionEnvelope } from './envelope.ts';
import { readCapabilities, type SmtpCapabilities } from './envelope.ts';

/** How one message fared. */
export interface SessionResult {
  /** The reply to the final dot, where it is 2xx. */
  readonly response: string | null;
  /** What went wrong for all recipients but the rejected ones; null where nothing did. */
  readonly failure: SmtpFailure | null;
  readonly rejected: readonly { readonly recipient: string; readonly failure: SmtpFailure }[];
  /** Not one byte of the message was asked for, and the smarthost has not judged it either. */
  readonly untouched: boolean;
}

const CHUNK = 64 * 1024;
/**
 * RFC 5321 section 4.5.3.2.6: the answer to the final dot may take ten times as long as others, ten minutes. One more, so that what is
 * sent at the last moment is heard: a message that was taken, and of which nobody hears, is sent twice.
 */
const FINAL_FACTOR = 11;
/** Answers until a connection is open, and until it is logged in. */
const OPENING_ANSWERS = 4;
const LOGIN_ANSWERS = 3;
/** Beside those to RCPT: to MAIL and to DATA. */
const MESSAGE_ANSWERS = 2;
/** Bytes a second. */
const SLOWEST = 8 * 1024;
/** How long the answer to QUIT is waited for. */
const QUIT_TIMEOUT = 2000;

/**
 * One connection to a smarthost by Nodemailer's SMTP client: opened and logged in, then one message after the other. What
 * it sends is the bytes given, with dots stuffed.
 */
export class SmtpSession {
  readonly #connection: SMTPConnection;
  readonly #settings: SmtpSettings;
  #capabilities: SmtpCapabilities = readCapabilities('');
  #messages = 0;
  #leftover = false;
  #declareUtf8 = false;
  #deadline: NodeJS.Timeout | undefined;
  /** Ends the exchange under way. */
  #expire: (error: Error) => void = () => {};

  private constructor(connection: SMTPConnection, settings: SmtpSettings) {
    this.#connection = connection;
    this.#settings = settings;
    // Without a listener, an error between two messages would end the process.
    connection.on('error', () => {});
    addMailParameter(connection, () => this.#declareUtf8);
  }

  /** @throws SmtpSessionError */
  static async open(settings: SmtpSettings, signal: AbortSignal): Promise<SmtpSession> {
    const session = new SmtpSession(await createConnection(settings), settings);
    try {
      await session.#start(signal);
      return session;
    } catch (error) {
      session.destroy();
      throw error;
    }
  }

  get capabilities(): SmtpCapabilities {
    return this.#capabilities;
  }

  /** Messages that were sent, or tried, before. */
  get messages(): number {
    return this.#messages;
  }

  get isOpen(): boolean {
    return !this.#connection.destroyed;
  }

  /** Hands one message over. Never rejects. */
  async send(envelope: SessionEnvelope, raw: OutgoingBytes, signal: AbortSignal): Promise<SessionResult> {
    const body = { begun: false, ended: false };
    const tracked: SMTPEnvelope & Partial<Pick<SMTPConnectionEnvelope, 'accepted' | 'rejectedErrors'>> = {
      from: envelope.reversePath,
      to: [...envelope.recipients],
      size: raw.length,
      use8BitMime: envelope.eightBit,
    };
    this.#declareUtf8 = envelope.smtpUtf8;
    this.#setTimeout(this.#settings.timeout);
    this.#allow(MESSAGE_ANSWERS + envelope.recipients.length);
    const stream = Readable.from(this.#chunks(raw, body), { objectMode: false, highWaterMark: CHUNK });
    // Nodemailer keeps the replies to RCPT in the envelope that it is given, also where the message fails later.
    const rejected = () => rejectionsIn(tracked.rejectedErrors ?? [], (tracked.accepted ?? []).length > 0);
    try {
      await this.#reset(signal);
      this.#leftover = true;
      const info = await this.#exchange<SMTPConnectionSendInfo>(signal, done =>
        this.#connection.send(tracked, stream, done),
      );
      // An answer in the middle of the message is an answer to something else.
      if (!body.ended) throw fault('EPROTOCOL');
      this.#leftover = false;
      return { response: info.response, failure: null, rejected: rejected(), untouched: false };
    } catch (error) {
      // After half a message there is no way back to a command.
      if (body.begun && !body.ended) this.destroy();
      const failure = failureOf(error, body.ended ? 'end' : 'message');
      const untouched = !body.begun && (failure.reply === null || failure.reply.startsWith('421'));
      // With PIPELINING, what follows a refused MAIL is refused because of that.
      const isMail = (error as ConnectionError).command === 'MAIL FROM';
      return { response: null, failure, rejected: isMail ? [] : rejected(), untouched };
    } finally {
      stream.destroy();
      this.#messages += 1;
      this.#setTimeout(0);
      clearTimeout(this.#deadline);
    }
  }

  /** Says QUIT, waits a moment for the answer, and closes. */
  async quit(): Promise<void> {
    if (!this.isOpen) return;
    const ended = Promise.withResolvers<void>();
    const timer = setTimeout(ended.resolve, Math.min(QUIT_TIMEOUT, this.#settings.timeout));
    this.#connection.once('end', ended.resolve);
    this.#connection.quit();
    await ended.promise;
    clearTimeout(timer);
    this.destroy();
  }

  /** Closes without a word. */
  destroy(): void {
    this.#connection.close();
  }

  async #start(signal: AbortSignal): Promise<void> {
    const { user } = this.#settings;
    this.#allow(OPENING_ANSWERS);
    await this.#exchange<void>(signal, done => this.#connection.connect(error => done(error ?? null))).catch(
      rethrowAs('connect'),
    );
    this.#capabilities = readCapabilities(this.#connection.lastServerResponse || '');
    clearTimeout(this.#deadline);
    if (user === '') return this.#setTimeout(0);
    if (!this.#connection.allowsAuth) {
      throw new SmtpSessionError({ step: 'login', reply: null, fault: 'ENOAUTH' });
    }
    const login = { user, pass: await readPassword(this.#settings) };
    this.#allow(LOGIN_ANSWERS);
    await this.#exchange<boolean>(signal, done => this.#connection.login(login, done)).catch(rethrowAs('login'));
    this.#setTimeout(0);
    clearTimeout(this.#deadline);
  }

  /** A message that was taken leaves nothing behind (RFC 5321 section 4.1.1.4); one that was refused may. */
  async #reset(signal: AbortSignal): Promise<void> {
    if (!this.#leftover) return;
    try {
      await this.#exchange<boolean>(signal, done => this.#connection.reset(done));
    } catch (error) {
      this.destroy();
      throw fault(signal.aborted ? 'ABORTED' : failureOf(error, 'message').fault);
    }
  }

  /**
   * Waits for the answer of one call to Nodemailer, which does not answer all of them: what waits when a connection is
   * closed is told by an event, or not at all.
   */
  async #exchange<T>(signal: AbortSignal, call: (done: (error: Error | null, value?: T) => void) => void): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const onEnd = (): void => void setImmediate(reject, fault('ECONNECTION'));
    const end = (error: Error): void => {
      reject(error);
      this.destroy();
    };
    const onAbort = (): void => end(fault('ABORTED'));
    this.#expire = end;
    this.#connection.once('error', reject);
    this.#connection.once('end', onEnd);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (signal.aborted) onAbort();
      else call((error, value) => (error ? reject(error) : resolve(value as T)));
      return await promise;
    } finally {
      this.#connection.off('error', reject);
      this.#connection.off('end', onEnd);
      signal.removeEventListener('abort', onAbort);
      this.#expire = () => {};
    }
  }

  /** The message piece by piece, so that dots of a large one are not stuffed at a stretch. */
  async *#chunks(raw: OutgoingBytes, body: { begun: boolean; ended: boolean }): AsyncGenerator<Buffer> {
    body.begun = true;
    this.#allow(FINAL_FACTOR, (raw.length / SLOWEST) * 1_000);
    yield* piecesOf(raw, CHUNK);
    body.ended = true;
    this.#setTimeout(this.#settings.timeout * FINAL_FACTOR);
    this.#allow(FINAL_FACTOR);
  }

  /** Time for so many answers, however little of them comes at a time: of silence alone, a server that drips makes none. */
  #allow(answers: number, milliseconds = 0): void {
    clearTimeout(this.#deadline);
    const expire = (): void => this.#expire(fault('ETIMEDOUT'));
    this.#deadline = setTimeout(expire, answers * this.#settings.timeout + milliseconds).unref();
  }

  /** Of silence; 0 is none, for a connection that waits for its next message. */
  #setTimeout(milliseconds: number): void {
    const socket = this.#connection._socket;
    if (socket) socket.setTimeout(milliseconds);
  }
}

function rejectionsIn(errors: readonly ConnectionError[], othersAccepted: boolean): SessionResult['rejected'] {
  return errors.map(error => ({
    recipient: error.recipient ?? '',
    failure: { ...failureOf(error, 'recipient'), othersAccepted },
  }));
}

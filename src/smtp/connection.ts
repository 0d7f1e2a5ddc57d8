import { isUtf8 } from 'node:buffer';
import type net from 'node:net';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { Abandoned } from '../flow/standing.ts';
import { OutcomeUnknown } from '../postgres/errors.ts';
import type { Arrival } from '../store/messages/new-message.ts';
import { noRoomRefusal } from './data/incoming-message.ts';
import { DataStream } from './data/stream.ts';
import { type AuthConnection, AuthExchange } from './protocol/auth.ts';
import {
  declaredSize,
  envelopeOf,
  extensions,
  greetingName,
  isTooLong,
  MAX_UNENDED_LINE,
  malformation,
  parsePathCommand,
  protocolOf,
  unknownParameter,
} from './protocol/commands.ts';
import {
  bareLineCommand,
  recipientLimitOf,
  replyTo,
  SHUTTING_DOWN,
  shuttingDown,
  timeIsOver,
  tooManyMistakes,
} from './protocol/replies.ts';
import type { RelayServer } from './server.ts';
import { SessionClock, type SessionTimes, type TimeLimit, type WatchedSession } from './session/clock.ts';
import type { Session, Step } from './session/session.ts';
import { UnaskedTls } from './tls/handshakes.ts';

const ENHANCED_CODE = /^([245]\.\d{1,3}\.\d{1,3}) /;
/** As many as the library allows of unknown commands. */
const MAX_MISTAKES = 10;

/** Of XCLIENT and XFORWARD, which are disabled: maps of its own would take half a kilobyte a connection. */
const NOTHING = Object.freeze(new Map<string, string | number | false>());

type Done = () => void;
type RejectParameters = Parameters<SMTPConnection['_rejectInvalidParams']>;

/**
 * The library's connection, with what its options do not reach put right. Every override is named in
 * `test/smtp/library.test.ts`, so that an upgrade of the library shows what moved.
 */
export class RelayConnection extends SMTPConnection implements AuthConnection, WatchedSession {
  /** Asked by the library's MAIL and RCPT; see `RelayServer`. */
  readonly client: Session;
  readonly #server: RelayServer;
  readonly #clock: SessionClock;
  readonly #auth: AuthExchange;
  #enhancedCode: string | null = null;
  #repliedAt = performance.now();
  /** The socket that is read from; while a TLS handshake goes on the library still keeps the one below. */
  #topSocket: net.Socket;
  #handshakeError: Error | null = null;
  /** Calls off the message that has arrived and has no reply as yet; null where there is none. */
  #callOff: AbortController | null = null;

  constructor(server: RelayServer, socket: net.Socket, options?: SMTPConnectionOptions) {
    super(server, socket, options);
    this.#server = server;
    this.#topSocket = socket;
    this.client = server.openSession(this.id, this.remoteAddress);
    this.#auth = new AuthExchange(this);
    this._xClient = NOTHING;
    this._xForward = NOTHING;
    server.metrics.connections.inc();
    const beganAt = server.incoming(this.id)?.acceptedAt ?? performance.now();
    this.#clock = new SessionClock(beganAt, this);
  }

  // What `SessionClock` and `AuthExchange` ask of it: objects of their own for that would take 2 KB a connection.

  get owesAnswer(): boolean {
    return this.isBusy && !this.isReceiving;
  }

  get needsLogIn(): boolean {
    return !this.#auth.isLoggedIn && !this.client.isTrusted;
  }

  get activeAt(): number {
    const parser = this._parser as DataStream | false;
    return Math.max(this.#repliedAt, parser ? parser.heardAt : 0);
  }

  get times(): SessionTimes {
    return this.#server.settings;
  }

  timeIsOver(limit: TimeLimit): void {
    if (this._upgrading) this.destroy(new Error(`no TLS handshake in time: ${limit}`));
    else this.refuse('session', timeIsOver(limit));
  }

  get isInTransaction(): boolean {
    return Boolean(this.session.envelope.mailFrom);
  }

  takeNextLine(take: (line: Buffer, done: Done) => void): void {
    this._nextHandler = take;
  }

  attemptLogIn(): void {
    this.client.attemptLogIn();
  }

  async logIn(password: string): Promise<void> {
    await this.client.authenticate(password);
    // The library asks for it before MAIL.
    this.session.user = 'apikey';
    this.#server.incoming(this.id)?.counted?.known();
  }

  get isReceiving(): boolean {
    return Boolean(this._dataStream) && this._parser !== false && this._parser._dataMode;
  }

  /** Whether a command or message is being worked on. */
  get isBusy(): boolean {
    return this._handlerPending || Boolean(this._dataStream);
  }

  /** Ends the connection without a word. Taking the socket from below a TLS handshake would be no end to rely on. */
  destroy(why?: Error): void {
    this.#topSocket.destroy(why);
    if (this.#topSocket !== this._socket) this._socket.destroy();
  }

  /** The library's time-out of silence starts anew with each byte; `SessionClock` takes its place. */
  override _armTimeout(socket: net.Socket = this._socket): void {
    this.#topSocket = socket;
  }

  override _onError(error: Error): void {
    if (this._upgrading) this.#handshakeError ??= error;
    super._onError(error);
  }

  override _onClose(): void {
    this.#clock.stop();
    // Nobody waits for the reply any more.
    this.#callOff?.abort(new Abandoned());
    if (this._upgrading && !this._closed) this.#server.handshakeFailed(this.id, this.#handshakeError);
    super._onClose();
  }

  /** Greets at once: the library waits 100 ms for clients that talk too early. */
  override init(): void {
    this._setListeners(() => {
      const refusal = this.#server.refusalOf(this.id);
      if (refusal) this.refuse('connect', refusal);
      else this.connectionReady();
    });
  }

  /**
   * Ends the connection with 421, or calls off the message that waits for its reply: its client is told 421 once it is known
   * that nothing is stored, and 250 where it was too late for that.
   */
  cutOff(): void {
    if (this.#callOff) {
      this.#callOff.abort(shuttingDown());
    } else {
      this.send(421, SHUTTING_DOWN);
      if (this._upgrading) this.destroy();
      else this._socket.destroySoon();
    }
  }

  /** Whether a message still waits for its reply. */
  get owesReply(): boolean {
    return this.#callOff !== null;
  }

  /**
   * Lets a reply's text begin with its enhanced status code, which is then used in place of the library's guess. Limits that
   * the library keeps are refusals like all others.
   */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const refusal = recipientLimitOf(data);
    if (refusal) {
      this.refuse('RCPT', refusal);
      return;
    }
    this.#repliedAt = performance.now();
    this.#server.metrics.replied(code);
    const [prefix, enhancedCode] = (typeof data === 'string' && ENHANCED_CODE.exec(data)) || [];
    this.#enhancedCode = enhancedCode ?? null;
    super.send(code, prefix === undefined ? data : (data as string).slice(prefix.length), context);
    this.#enhancedCode = null;
  }

  override _getEnhancedStatusCode(code: number, context?: string | false): string {
    return this.#enhancedCode ?? super._getEnhancedStatusCode(code, context);
  }

  /** Bounds the session's time and the length of commands, and ends sessions between messages while draining. */
  override _onCommand(command: Buffer, callback: Done = () => {}): void {
    if (this.#server.isDraining) {
      this.send(421, SHUTTING_DOWN);
    } else if (this.#clock.isOver) {
      this.refuse('session', timeIsOver('session_timeout'));
    } else if (!this._nextHandler && isTooLong(command)) {
      this.send(500, '5.5.2 Command line is too long');
      callback();
    } else if (!this.#refuseMalformed(command, callback)) {
      // The library asks for this before MAIL, and forgets it at STARTTLS.
      if (this.client.isTrusted) this.session.user ||= 'trusted';
      super._onCommand(command, () => {
        callback();
        this.#endIfDraining();
      });
    }
  }

  /** A command that was under way when the draining began has its reply; its client may have nothing more to say. */
  #endIfDraining(): void {
    if (this.#server.isDraining && !(this.isBusy || this._closing || this._upgrading)) this.send(421, SHUTTING_DOWN);
  }

  /** Whether the command is none that may be run. What was sent before a TLS handshake is for nobody to answer. */
  #refuseMalformed(command: Buffer, callback: Done): boolean {
    if (this._upgrading || this._nextHandler) return false;
    try {
      this.#auth.count(command);
    } catch (error) {
      this.refuse('AUTH', error);
      return true;
    }
    const fault = malformation(command);
    if (fault !== null) this.#mistake(() => this.send(501, fault), callback);
    return fault !== null;
  }

  #mistake(reply: () => void, callback: Done): void {
    this._unrecognizedCommands += 1;
    if (this._unrecognizedCommands >= MAX_MISTAKES) {
      this.refuse('session', tooManyMistakes());
      return;
    }
    reply();
    setImmediate(() => this._whenWritable(callback));
  }

  /** Reads commands and DATA by our own stream; see there. */
  override _createParser(): SMTPStream {
    const onCommand = (command: Buffer, callback: Done) => this._onCommand(command, callback);
    const parser = new DataStream(MAX_UNENDED_LINE, {
      onCommand,
      onBareLine: (command, callback) => {
        if (this.#server.settings.bareLineEndings === 'accept' || this._upgrading) onCommand(command, callback);
        else this.#mistake(() => this.refuse('session', bareLineCommand()), callback);
      },
      onTls: () => {
        this.#server.handshakeFailed(this.id, new UnaskedTls('TLS began where a command was due'));
        this.destroy();
      },
    });
    parser.on('error', () => this.send(421, '4.5.2 Command line is too long'));
    return parser;
  }

  /** Offers AUTH only where it may be used; without it the library would let MAIL pass. An empty name is forgiven. */
  override handler_EHLO(command: Buffer, callback: Done): void {
    const { messageBytes, recipients, startTls } = this.#server.settings;
    const offersAuth = this.mayAuthenticate && !this.#auth.isLoggedIn;
    const offersStartTls = startTls && !this.secure;
    const lines = extensions({ messageBytes, recipients, offersAuth, offersStartTls });
    this.#greetBack(command, [this.name, ...lines], callback);
  }

  override handler_HELO(command: Buffer, callback: Done): void {
    this.#greetBack(command, [this.name], callback);
  }

  #greetBack(command: Buffer, lines: string[], callback: Done): void {
    this.hostNameAppearsAs = greetingName(command.toString());
    this._resetSession();
    this.send(250, lines, false);
    callback();
  }

  get mayAuthenticate(): boolean {
    return this.secure || !this.#server.settings.startTls;
  }

  /** Reads paths by our own parser: the library turns domains into Unicode and knows no quoted local parts. */
  override _parseAddressCommand(name: string, command: Buffer | string): never {
    // Bytes of another charset would become another address.
    if (typeof command !== 'string' && !isUtf8(command)) return false as never;
    return (parsePathCommand(name.toUpperCase(), command.toString()) ?? false) as never;
  }

  /** Refuses unknown parameters (RFC 5321 section 4.1.1.11) before those that are known are looked at. */
  override _rejectInvalidParams(...[parsed, valued, callback]: RejectParameters): boolean {
    const unknown = unknownParameter(parsed.args, valued.includes('BODY') ? 'MAIL' : 'RCPT');
    if (unknown === undefined) return super._rejectInvalidParams(parsed, valued, callback);
    this.send(555, `5.5.4 Parameter ${unknown} is not supported: leave it out`);
    callback();
    return true;
  }

  /** Begins anew: the library lets a MAIL inherit the parameters of one that was refused. */
  override _applyMailParams(parsed: Parameters<SMTPConnection['_applyMailParams']>[0]): void {
    this._resetSession();
    super._applyMailParams(parsed);
  }

  /** By an exchange of our own; see there. */
  override handler_AUTH(command: Buffer, callback: Done): void {
    void this.#auth.run(command, callback);
  }

  /** Refuses before 354 what can be refused, and tells a lost client from a message that ended. */
  override handler_DATA(_command: Buffer, callback: Done): void {
    const parser = this._parser as DataStream | false;
    if (this.session.envelope.rcptTo.length === 0) {
      this.send(503, '5.5.1 Give MAIL and RCPT first');
    } else if (!this.#server.hasRoomFor(this.client.holder, declaredSize(this.session.envelope))) {
      this.refuse('DATA', noRoomRefusal());
    } else if (parser) {
      this.send(354, 'End data with <CR><LF>.<CR><LF>');
      void this.#receive(parser);
    }
    callback();
  }

  async #receive(parser: DataStream): Promise<void> {
    const message = this.#server.newMessage(this.client.holder);
    const callOff = new AbortController();
    try {
      await parser.receive(message, {
        pace: this.#server.settings,
        onStart: signal => {
          this._dataStream = signal;
        },
        onTooSlow: refusal => this.refuse('DATA', refusal),
        onQuit: () => this.#keepHalfOpen(),
      });
      this.#callOff = callOff;
      if (this._closed) callOff.abort(new Abandoned());
      const envelope = envelopeOf(this.session.envelope);
      const text = await this.client.message(envelope, this.#arrival(), await message.take(), message.beganAt, callOff);
      this.send(250, `2.0.0 ${text}`);
    } catch (error) {
      this.#answer(error, callOff.signal.aborted);
    } finally {
      message.release();
      this.#callOff = null;
      this.#endTransaction(parser);
    }
  }

  #answer(error: unknown, isCalledOff: boolean): void {
    if (error instanceof Abandoned) {
      if (this.#callOff) this.client.messageAbandoned();
      return;
    }
    this.client.messageRefused(error);
    // Whoever is cut off is not told that nothing is stored where that is not known.
    if (isCalledOff && error instanceof OutcomeUnknown) this.destroy();
    else this.refuse('DATA', error);
  }

  #arrival(): Arrival {
    return {
      clientAddress: this.remoteAddress,
      sessionId: this.id,
      helo: this.hostNameAppearsAs || 'unknown',
      protocol: protocolOf(this, this.#auth.isLoggedIn),
      receivedBy: this.name,
    };
  }

  #endTransaction(parser: DataStream): void {
    this._dataStream = false;
    this._transactionCounter += 1;
    this._unrecognizedCommands = 0;
    this._resetSession();
    if (this._closing) return;
    if (this.#server.isDraining) this.send(421, SHUTTING_DOWN);
    else if (this._parser === parser) parser.continue();
  }

  /**
   * Who has said QUIT may close its side, and waits for the replies all the same.
   *
   * @returns ends what is left of the connection
   */
  #keepHalfOpen(): Done {
    const socket = this._socket;
    socket.allowHalfOpen = true;
    // The library writes only where both sides are open.
    const get = () => (socket.writable ? 'open' : 'closed');
    Object.defineProperty(socket, 'readyState', { get, configurable: true });
    return () => {
      socket.allowHalfOpen = false;
      if (socket.readableEnded) socket.end();
    };
  }

  refuse(step: Step, error: unknown): void {
    this.client.refused(step, error);
    const { code, enhancedCode, text } = replyTo(error);
    this.send(code, `${enhancedCode} ${text}`);
  }
}

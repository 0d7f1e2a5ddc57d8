import type net from 'node:net';
import type { SMTPServer } from 'smtp-server';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { Abandoned } from '../flow/cancellation.ts';
import type { Admission } from '../intake/admission.ts';
import type { Refusal } from '../message/refusal.ts';
import type { DataExchange } from './data/exchange.ts';
import { DataStream } from './data/stream.ts';
import type { HeldReplies } from './held-replies.ts';
import type { Incoming } from './incoming-connections.ts';
import type { ServerSettings } from './library-options.ts';
import type { SmtpMetrics } from './metrics.ts';
import { isTooLong, MAX_UNENDED_LINE, malformation } from './protocol/commands.ts';
import {
  bareLineCommand,
  replyTo,
  SHUTTING_DOWN,
  shuttingDown,
  timeIsOver,
  tooManyMistakes,
} from './protocol/replies.ts';
import { SessionClock, type SessionTimes, type TimeLimit, type WatchedSession } from './session/clock.ts';
import type { Session, Step } from './session/session.ts';
import { UnaskedTls } from './tls/handshakes.ts';

/** What a connection needs of the listener that has accepted it. */
export interface ConnectionHost extends SMTPServer {
  /** Those in force now. */
  readonly settings: ServerSettings;
  /** Whether it finishes what it has, and begins nothing new. */
  readonly isDraining: boolean;
  readonly admission: Admission;
  readonly metrics: SmtpMetrics;
  readonly replies: HeldReplies;
  openSession(id: string, clientAddress: string): Session;
  /** What is known of the connection since its acceptance. */
  incoming(id: string): Incoming | undefined;
  /** What the client is told in place of the greeting, after which its connection ends; null, in most cases at once, where it is greeted. */
  refusalOf(id: string): Refusal | null | Promise<Refusal | null>;
  /** @param error what ended the handshake; null where the connection just ended */
  handshakeFailed(id: string, error: Error | null): void;
}

/** Behind this reply the socket is TLS's. */
const TLS_BEGINS = 220;
const ENHANCED_CODE = /^([245]\.\d{1,3}\.\d{1,3}) /;
/** As many as the library allows of unknown commands. */
const MAX_MISTAKES = 10;
/** Of XCLIENT and XFORWARD, which are disabled: maps of its own would take half a kilobyte a connection. */
const NOTHING = Object.freeze(new Map<string, string | number | false>());

export type Done = () => void;

/**
 * The library's connection, with what its options do not reach put right below its commands: the time it may take, the
 * end of it, lines and replies. What commands mean is said by `RelayConnection`.
 */
export abstract class LibraryConnection extends SMTPConnection implements WatchedSession {
  /** What commands mean is asked of it. */
  readonly client: Session;
  protected readonly host: ConnectionHost;
  /** The message under way; null where there is none. */
  protected exchange: DataExchange | null = null;
  readonly #clock: SessionClock;
  #enhancedCode: string | null = null;
  #repliedAt = performance.now();
  /** The socket that is read from; while a TLS handshake goes on the library still keeps the one below. */
  #topSocket: net.Socket;
  #handshakeError: Error | null = null;

  constructor(host: ConnectionHost, socket: net.Socket, options?: SMTPConnectionOptions) {
    super(host, socket, options);
    this.host = host;
    this.#topSocket = socket;
    this.client = host.openSession(this.id, this.remoteAddress);
    this._xClient = NOTHING;
    this._xForward = NOTHING;
    host.metrics.connections.inc();
    this.#clock = new SessionClock(host.incoming(this.id)?.acceptedAt ?? performance.now(), this);
  }

  // What `SessionClock` asks of it: an object of its own for that would take a kilobyte a connection.

  /** Whether its client has neither logged in nor need not. */
  abstract readonly needsLogIn: boolean;

  get owesAnswer(): boolean {
    return this.isBusy && (!this.isReceiving || (this._parser as DataStream).isPaused);
  }

  get isReceiving(): boolean {
    return Boolean(this._dataStream) && this._parser !== false && this._parser._dataMode;
  }

  get activeAt(): number {
    const parser = this._parser as DataStream | false;
    return Math.max(this.#repliedAt, parser ? parser.heardAt : 0);
  }

  get times(): SessionTimes {
    return this.host.settings;
  }

  timeIsOver(limit: TimeLimit): void {
    if (this._upgrading) this.destroy(new Error(`no TLS handshake in time: ${limit}`));
    // Who is told already why the session ends has some seconds to close his side.
    else if (!this._closing) this.refuse('session', timeIsOver(limit));
  }

  /** Whether a command or message is being worked on. */
  get isBusy(): boolean {
    return this._handlerPending || Boolean(this._dataStream);
  }

  /** Whether a message still waits for its reply. */
  get owesReply(): boolean {
    return this.exchange?.owesReply ?? false;
  }

  get isClosed(): boolean {
    return this._closed;
  }

  /** Ends the connection without a word. Taking the socket from below a TLS handshake would be no end to rely on. */
  destroy(why?: Error): void {
    this.#topSocket.destroy(why);
    if (this.#topSocket !== this._socket) this._socket.destroy();
  }

  /**
   * Ends the connection with 421, or calls off the message that waits for its reply: its client is told 421 once it is known
   * that nothing is stored, and 250 where it was too late for that.
   */
  cutOff(): void {
    if (this.owesReply) {
      this.exchange?.callOff(shuttingDown());
    } else {
      this.send(421, SHUTTING_DOWN);
      if (this._upgrading) this.destroy();
      else this._socket.destroySoon();
    }
  }

  /**
   * Who has said QUIT may close its side, and waits for the replies all the same.
   *
   * @returns ends what is left of the connection
   */
  protected keepHalfOpen(): Done {
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
    if (this.owesReply) this.exchange?.callOff(new Abandoned());
    if (this._upgrading && !this._closed) this.#handshakeFailed(this.#handshakeError);
    super._onClose();
  }

  #handshakeFailed(error: Error | null): void {
    this.host.handshakeFailed(this.id, error);
    this.client.handshakeFailed(error);
  }

  /** Greets at once: the library waits 100 ms for clients that talk too early. */
  override init(): void {
    this._setListeners(() => {
      const greet = (refusal: Refusal | null): void => {
        if (refusal === null) return void this.connectionReady();
        this.refuse('connect', refusal);
        this.close();
      };
      const refusal = this.host.refusalOf(this.id);
      if (refusal instanceof Promise) void refusal.then(greet);
      else greet(refusal);
    });
  }

  /** Tells the client why something is not accepted, and the log. */
  refuse(step: Step, error: unknown): void {
    this.client.refused(step, error);
    const { code, enhancedCode, text } = replyTo(error);
    this.send(code, `${enhancedCode} ${text}`);
  }

  /** Lets a reply's text begin with its enhanced status code, which is then used in place of the library's guess. */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    this.#repliedAt = performance.now();
    this.host.metrics.replied(code);
    if (code === TLS_BEGINS) this.host.replies.release(this._socket);
    else this.host.replies.hold(this._socket);
    const [prefix, enhancedCode] = (typeof data === 'string' && ENHANCED_CODE.exec(data)) || [];
    this.#enhancedCode = enhancedCode ?? null;
    if (data && !this._upgrading) {
      const guess = prefix === undefined && typeof data === 'string' && this._getEnhancedStatusCode(code, context);
      this.client.transcript?.said(code, guess ? `${guess} ${data}` : data);
    }
    super.send(code, prefix === undefined ? data : (data as string).slice(prefix.length), context);
    this.#enhancedCode = null;
  }

  override _getEnhancedStatusCode(code: number, context?: string | false): string {
    return this.#enhancedCode ?? super._getEnhancedStatusCode(code, context);
  }

  /** Reads commands and DATA by our own stream; see there. */
  override _createParser(): SMTPStream {
    const onCommand = (command: Buffer, callback: Done) => this._onCommand(command, callback);
    const parser = new DataStream(MAX_UNENDED_LINE, {
      onCommand,
      onBareLine: (command, callback) => {
        if (this.host.settings.bareLineEndings === 'accept' || this._upgrading) {
          onCommand(command, callback);
          return;
        }
        this.client.transcript?.heard(command, false);
        this.#mistake(() => this.refuse('session', bareLineCommand()), callback);
      },
      onTls: () => {
        this.#handshakeFailed(new UnaskedTls('TLS began where a command was due'));
        this.destroy();
      },
    });
    parser.on('error', () => this.send(421, '4.5.2 Command line is too long'));
    return parser;
  }

  /** Bounds the session's time and the length of commands, and ends sessions between messages while draining. */
  override _onCommand(command: Buffer, callback: Done = () => {}): void {
    if (!this._upgrading) this.client.transcript?.heard(command, Boolean(this._nextHandler));
    if (this.host.isDraining) {
      this.send(421, SHUTTING_DOWN);
    } else if (this.#clock.isOver) {
      this.refuse('session', timeIsOver('session_timeout'));
    } else if (!this._nextHandler && isTooLong(command)) {
      this.send(500, '5.5.2 Command line is too long');
      callback();
    } else if (!this.#refuseMalformed(command, callback)) {
      // The library asks for this before MAIL, and forgets it at STARTTLS.
      if (this.client.trustedKey() !== null) this.session.user ||= 'trusted';
      super._onCommand(command, () => {
        callback();
        this.#endIfDraining();
      });
    }
  }

  /** A command that was under way when the draining began has its reply; its client may have nothing more to say. */
  #endIfDraining(): void {
    if (this.host.isDraining && !(this.isBusy || this._closing || this._upgrading)) this.send(421, SHUTTING_DOWN);
  }

  /** Counts a command that is limited in number, whatever becomes of it. @throws Refusal 421 for one too many */
  protected abstract count(command: Buffer): void;

  /** Whether the command is none that may be run. What was sent before a TLS handshake is for nobody to answer. */
  #refuseMalformed(command: Buffer, callback: Done): boolean {
    if (this._upgrading || this._nextHandler) return false;
    try {
      this.count(command);
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
}

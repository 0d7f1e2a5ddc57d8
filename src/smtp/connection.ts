import { isUtf8 } from 'node:buffer';
import type net from 'node:net';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import type { Arrival } from '../store/new-message.ts';
import { greetingName, longestLine, MAX_AUTH_LINE, parsePathCommand, unknownParameter } from './command-line.ts';
import { ClientGone, DataStream } from './data-stream.ts';
import { noRoomRefusal } from './incoming-message.ts';
import { replyTo } from './reply.ts';
import { MECHANISMS, readPassword } from './sasl.ts';
import type { RelayServer } from './server.ts';
import type { Session, Step } from './session.ts';
import { limitOf, SHUTTING_DOWN, sessionTooLong } from './session-refusals.ts';
import { declaredSize, envelopeOf, protocolOf } from './transaction.ts';

const EXTENSIONS = ['PIPELINING', '8BITMIME', 'SMTPUTF8', 'ENHANCEDSTATUSCODES'];
const ENHANCED_CODE = /^([245]\.\d{1,3}\.\d{1,3}) /;

type Done = () => void;
type RejectParameters = Parameters<SMTPConnection['_rejectInvalidParams']>;

/**
 * The library's connection, with what its options do not reach put right. Every override is named in
 * `test/smtp/library.test.ts`, so that an upgrade of the library shows what moved.
 */
export class RelayConnection extends SMTPConnection {
  /** Asked by the library's MAIL and RCPT; see `RelayServer`. */
  readonly client: Session;
  readonly #server: RelayServer;
  readonly #deadline: number;
  #enhancedCode: string | null = null;
  #isLoggedIn = false;

  constructor(server: RelayServer, socket: net.Socket, options?: SMTPConnectionOptions) {
    super(server, socket, options);
    this.#server = server;
    this.client = server.openSession(this.id, this.remoteAddress);
    server.metrics.connections.inc();
    this.#deadline = performance.now() + server.settings.sessionTimeout;
  }

  /** Whether a command or message is being worked on. */
  get isBusy(): boolean {
    return this._handlerPending || Boolean(this._dataStream);
  }

  /** Greets at once: the library waits 100 ms for clients that talk too early. */
  override init(): void {
    this._setListeners(() => {
      const refusal = this.#server.refusalOf(this.id);
      if (refusal) this.#refuse('connect', refusal);
      else this.connectionReady();
    });
  }

  /**
   * Lets a reply's text begin with its enhanced status code, which is then used in place of the library's guess. Limits that
   * the library keeps are refusals like all others.
   */
  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    const limit = limitOf(data);
    if (limit) {
      this.#refuse(limit.step, limit.refusal);
      return;
    }
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
    } else if (performance.now() > this.#deadline) {
      this.#refuse('session', sessionTooLong());
    } else if (command.length > longestLine(command, Boolean(this._nextHandler))) {
      this.send(500, '5.5.2 Command line is too long');
      callback();
    } else {
      // The library asks for this before MAIL, and forgets it at STARTTLS.
      if (this.client.isTrusted) this.session.user ||= 'trusted';
      super._onCommand(command, callback);
    }
  }

  /** Decodes DATA by our own decoder: the library takes bare line ends as they come, and seconds over many dots. */
  override _createParser(): SMTPStream {
    const parser = new DataStream({ maxCommandLength: MAX_AUTH_LINE });
    parser.oncommand = (command, callback) => this._onCommand(command, callback);
    parser.on('error', () => this.send(421, '4.5.2 Command line is too long'));
    return parser;
  }

  /** Offers AUTH only where it may be used; without it the library would let MAIL pass. An empty name is forgiven. */
  override handler_EHLO(command: Buffer, callback: Done): void {
    const features = [...EXTENSIONS, `SIZE ${this._server.options.size}`];
    if (this.#mayAuthenticate() && !this.#isLoggedIn) features.push(`AUTH ${MECHANISMS}`);
    if (!this.secure && this.#server.settings.startTls) features.push('STARTTLS');
    this.#greetBack(command, [this.name, ...features], callback);
  }

  override handler_HELO(command: Buffer, callback: Done): void {
    this.#greetBack(command, [this.name], callback);
  }

  #greetBack(command: Buffer, lines: string[], callback: Done): void {
    const name = greetingName(command.toString());
    if (name === null) {
      this.send(501, '5.5.4 The name has control characters: send the host name', false);
    } else {
      this.hostNameAppearsAs = name;
      this._resetSession();
      this.send(250, lines, false);
    }
    callback();
  }

  #mayAuthenticate(): boolean {
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

  /** Checks Base64, takes empty user names, and counts failures: the library does none of it. */
  override handler_AUTH(command: Buffer, callback: Done): void {
    if (!this.#mayAuthenticate()) {
      this.send(538, '5.7.11 Encryption is required: issue STARTTLS first');
    } else if (this.#isLoggedIn) {
      this.send(503, '5.5.1 Already authenticated');
    } else {
      void this.#authenticate(command.toString(), callback);
      return;
    }
    callback();
  }

  async #authenticate(command: string, callback: Done): Promise<void> {
    let lineDone = callback;
    const ask = (challenge: string): Promise<string> => {
      const answer = Promise.withResolvers<string>();
      this._nextHandler = (line, done) => {
        lineDone = done;
        answer.resolve(line.toString());
      };
      this.send(334, challenge, false);
      lineDone();
      return answer.promise;
    };
    try {
      const result = await readPassword(command, ask);
      if ('password' in result) await this.#logIn(result.password);
      else this.send(result.code, result.text);
    } catch (error) {
      this.#refuse('AUTH', error);
    }
    lineDone();
  }

  async #logIn(password: string): Promise<void> {
    await this.client.authenticate(password);
    this.session.user = 'apikey';
    this.#isLoggedIn = true;
    this.send(235, '2.7.0 Authentication successful');
  }

  /** Refuses before 354 what can be refused, and tells a lost client from a message that ended. */
  override handler_DATA(_command: Buffer, callback: Done): void {
    const parser = this._parser as DataStream | false;
    if (this.session.envelope.rcptTo.length === 0) {
      this.send(503, '5.5.1 Give MAIL and RCPT first');
    } else if (!this.#server.hasRoomFor(declaredSize(this.session.envelope))) {
      this.#refuse('DATA', noRoomRefusal());
    } else if (parser) {
      this.send(354, 'End data with <CR><LF>.<CR><LF>');
      void this.#receive(parser);
    }
    callback();
  }

  async #receive(parser: DataStream): Promise<void> {
    const message = this.#server.newMessage();
    try {
      await parser.receive(message, {
        pace: this.#server.settings,
        onStart: signal => {
          this._dataStream = signal;
        },
        onTooSlow: refusal => this.#refuse('DATA', refusal),
      });
      const envelope = envelopeOf(this.session.envelope);
      const text = await this.client.message(envelope, this.#arrival(), message.take(), message.beganAt);
      this.send(250, `2.0.0 ${text}`);
    } catch (error) {
      if (error instanceof ClientGone) return;
      this.client.messageRefused(error);
      this.#refuse('DATA', error);
    } finally {
      message.release();
      this.#endTransaction(parser);
    }
  }

  #arrival(): Arrival {
    return {
      clientAddress: this.remoteAddress,
      sessionId: this.id,
      helo: this.hostNameAppearsAs || 'unknown',
      protocol: protocolOf(this, this.#isLoggedIn),
      receivedBy: this.name,
    };
  }

  #endTransaction(parser: DataStream): void {
    this._dataStream = false;
    this._transactionCounter += 1;
    this._unrecognizedCommands = 0;
    this._resetSession();
    if (this.#server.isDraining) this.send(421, SHUTTING_DOWN);
    else if (this._parser === parser) parser.continue();
  }

  #refuse(step: Step, error: unknown): void {
    this.client.refused(step, error);
    const { code, enhancedCode, text } = replyTo(error);
    this.send(code, `${enhancedCode} ${text}`);
  }
}

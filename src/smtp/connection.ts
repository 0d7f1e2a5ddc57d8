import { isUtf8 } from 'node:buffer';
import type net from 'node:net';
import type { SMTPConnection, SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import { type DataConnection, DataExchange } from './data/exchange.ts';
import { CutMessage, IncomingMessage, noRoomRefusal } from './data/incoming-message.ts';
import type { DataStream } from './data/stream.ts';
import { type ConnectionHost, type Done, LibraryConnection } from './library-connection.ts';
import { type AuthConnection, AuthExchange } from './protocol/auth.ts';
import {
  declaredSize,
  envelopeOf,
  extensions,
  greetingName,
  type PathCommand,
  parsePathCommand,
  protocolOf,
  unknownParameter,
} from './protocol/commands.ts';
import { SHUTTING_DOWN, tooManyRecipients } from './protocol/replies.ts';
import type { Step } from './session/session.ts';

/** A path as the library keeps it. */
type LibraryPath = Parameters<SMTPConnection['_applyMailParams']>[0];

const PATHS = {
  MAIL: { keyword: 'MAIL FROM', fault: '5.1.7 Error: Bad sender address syntax' },
  RCPT: { keyword: 'RCPT TO', fault: '5.1.3 Error: Bad recipient address syntax' },
} as const;
/** Parameters of MAIL that say nothing without a value. */
const VALUED_PARAMETERS = ['SIZE', 'BODY'];

/**
 * The commands of one client, each by its handler. Every override, here and in `LibraryConnection`, is named in
 * `test/smtp/library.test.ts`, so that an upgrade of the library shows what moved.
 */
export class RelayConnection extends LibraryConnection implements AuthConnection, DataConnection {
  readonly #auth: AuthExchange;

  constructor(host: ConnectionHost, socket: net.Socket, options?: SMTPConnectionOptions) {
    super(host, socket, options);
    this.#auth = new AuthExchange(this);
  }

  get needsLogIn(): boolean {
    return !this.#auth.isLoggedIn && this.client.trustedKey() === null;
  }

  protected count(command: Buffer): void {
    this.#auth.count(command);
  }

  /** Offers AUTH only where it may be used; without it the library would let MAIL pass. An empty name is forgiven. */
  override handler_EHLO(command: Buffer, done: Done): void {
    const { messageBytes, recipients, startTls } = this.host.settings;
    const offersAuth = this.mayAuthenticate && !this.#auth.isLoggedIn;
    const offersStartTls = startTls && !this.secure;
    const lines = extensions({ messageBytes, recipients, offersAuth, offersStartTls });
    this.#greetBack(command, [this.name, ...lines], done);
  }

  override handler_HELO(command: Buffer, done: Done): void {
    this.#greetBack(command, [this.name], done);
  }

  #greetBack(command: Buffer, lines: string[], done: Done): void {
    this.hostNameAppearsAs = greetingName(command.toString());
    this._resetSession();
    this.send(250, lines, false);
    done();
  }

  /** By an exchange of our own; see there. */
  override handler_AUTH(command: Buffer, done: Done): void {
    void this.#auth.run(command, done);
  }

  // What `AuthExchange` asks of it: an object of its own for that would take a kilobyte a connection.

  get mayAuthenticate(): boolean {
    return this.secure || !this.host.settings.startTls;
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
    this.host.incoming(this.id)?.counted?.known();
  }

  /** By our own reader of paths: the library's turns domains into Unicode and knows no quoted local parts. */
  override handler_MAIL(command: Buffer, done: Done): void {
    const path = this.#readPath('MAIL', command, done);
    if (path === null) return;
    if (this._rejectInvalidParams(path, VALUED_PARAMETERS, done)) return;
    if (this.isInTransaction) this.#refuseOrder('Error: nested MAIL command', done);
    else if (this.#applyParameters(path)) void this.#answer('MAIL', this.#begin(path), '2.1.0 Accepted', done);
    else done();
  }

  /** @returns false where one of them is wrong, which the client has been told */
  #applyParameters(path: LibraryPath): boolean {
    const fault = this._validateMailParams(path);
    if (fault) {
      this.send(fault.code, fault.message, fault.enhancedCode ?? undefined);
      return false;
    }
    // A MAIL that was refused has left its own.
    this._resetSession();
    this._applyMailParams(path);
    return true;
  }

  async #begin(path: LibraryPath): Promise<void> {
    await this.client.mail(path as PathCommand);
    this.session.envelope.mailFrom = path;
  }

  /** Like MAIL. No parameter is known. */
  override handler_RCPT(command: Buffer, done: Done): void {
    const path = this.#readPath('RCPT', command, done);
    if (path === null) return;
    if (this.isInTransaction) void this.#answer('RCPT', this.#addRecipient(path), '2.1.5 Accepted', done);
    else this.#refuseOrder('Error: need MAIL command', done);
  }

  /** One that is named again takes its place anew. */
  async #addRecipient(path: LibraryPath): Promise<void> {
    const { rcptTo: recipients, smtpUtf8 = false } = this.session.envelope;
    const name = path.address.toLowerCase();
    const before = this._rcptIndex.get(name);
    if (before === undefined && recipients.length >= this.host.settings.recipients) throw tooManyRecipients();
    const others = recipients.map(({ address }) => address);
    path.address = await this.client.recipient(path as PathCommand, smtpUtf8, others);
    const at = before ?? recipients.length;
    recipients[at] = path;
    this._rcptIndex.set(name, at);
  }

  /** @returns null where the command cannot be read, or is not to be: the client has been told, and that is done */
  #readPath(name: 'MAIL' | 'RCPT', command: Buffer, done: Done): LibraryPath | null {
    const { keyword, fault } = PATHS[name];
    // Bytes of another charset would become another address.
    const path = isUtf8(command) ? parsePathCommand(keyword, command.toString()) : null;
    // RFC 5321 section 4.1.1.11: before those that are known are looked at.
    const unknown = path && unknownParameter(path.args, name);
    if (path === null) this.send(501, fault);
    else if (unknown) this.send(555, `5.5.4 Parameter ${unknown} is not supported: leave it out`);
    else return path as LibraryPath;
    done();
    return null;
  }

  #refuseOrder(text: string, done: Done): void {
    this.send(503, text);
    done();
  }

  /** Answers a command when the session has. */
  async #answer(step: Step, asked: Promise<void>, accepted: string, done: Done): Promise<void> {
    try {
      await asked;
      this.send(250, accepted);
    } catch (error) {
      this.refuse(step, error);
    }
    done();
  }

  /** Refuses before 354 what can be refused, and tells a lost client from a message that ended. */
  override handler_DATA(_command: Buffer, done: Done): void {
    const slowness = this.client.slowness();
    if (slowness) void slowness.then(() => this.#beginData(done));
    else this.#beginData(done);
  }

  #beginData(done: Done): void {
    const parser = this._parser as DataStream | false;
    const refusal = this.client.refusalOfData();
    if (this.session.envelope.rcptTo.length === 0) {
      this.send(503, '5.5.1 Give MAIL and RCPT first');
    } else if (refusal) {
      this.refuse('DATA', refusal);
    } else if (!this.host.admission.hasRoomFor(this.client.holder, declaredSize(this.session.envelope))) {
      this.refuse('DATA', noRoomRefusal());
    } else if (parser) {
      this.send(354, 'End data with <CR><LF>.<CR><LF>');
      void this.#receive(parser);
    }
    done();
  }

  async #receive(parser: DataStream): Promise<void> {
    const { settings, admission } = this.host;
    const holding = admission.begin(this.client.holder);
    const message = this.client.isToBeCut()
      ? new CutMessage(settings, holding, () => this.destroy())
      : new IncomingMessage(settings, holding);
    this.exchange = new DataExchange(this);
    try {
      await this.exchange.run(parser, message, {
        pace: settings,
        onStart: signal => {
          this._dataStream = signal;
        },
        onTooSlow: refusal => this.refuse('DATA', refusal),
        onQuit: () => this.keepHalfOpen(),
      });
    } finally {
      this.exchange = null;
      this.#endTransaction(parser);
    }
  }

  described() {
    const arrival = {
      clientAddress: this.remoteAddress,
      sessionId: this.id,
      helo: this.hostNameAppearsAs || 'unknown',
      protocol: protocolOf(this, this.#auth.isLoggedIn),
      receivedBy: this.name,
    };
    return { envelope: envelopeOf(this.session.envelope), arrival };
  }

  #endTransaction(parser: DataStream): void {
    this._dataStream = false;
    this._transactionCounter += 1;
    this._unrecognizedCommands = 0;
    this._resetSession();
    if (this._closing) return;
    if (this.host.isDraining) this.send(421, SHUTTING_DOWN);
    else if (this._parser === parser) parser.continue();
  }
}

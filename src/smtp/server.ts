import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type net from 'node:net';
import type { TLSSocket } from 'node:tls';
import { SMTPServer, type SMTPServerAddress, type SMTPServerSession } from 'smtp-server';
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { Refusal } from '../message/refusal.ts';
import type { Logger } from '../observability/log.ts';
import type { ByteBudget } from './byte-budget.ts';
import { clientNetwork } from './client-network.ts';
import type { PathCommand } from './command-line.ts';
import { RelayConnection } from './connection.ts';
import { IncomingMessage } from './incoming-message.ts';
import { libraryLimits, libraryOptions, type ServerSettings } from './library-options.ts';
import type { SmtpMetrics } from './metrics.ts';
import { readProxyHeader } from './proxy-protocol.ts';
import { asLibraryError } from './reply.ts';
import { Session, type SessionDependencies, type Step } from './session.ts';
import { SHUTTING_DOWN, tooManyConnections, tooManyOfAddress } from './session-refusals.ts';
import type { Tally } from './tally.ts';
import type { TlsPair } from './tls.ts';

export interface ServerDependencies {
  /** Those in force now. */
  readonly settings: () => ServerSettings;
  readonly tls: TlsPair | null;
  readonly session: SessionDependencies;
  /** Shared by all listeners. */
  readonly budget: ByteBudget;
  /** Connections of all listeners together. */
  readonly countConnections: () => number;
  /** Whether a peer is a load balancer that speaks the PROXY protocol. */
  readonly isProxy: (address: string) => boolean;
  /** The id of the key as which this address may send without a log-in; null for none. */
  readonly trustedKey: (address: string) => string | null;
  /** Connections by client address; shared by all listeners. */
  readonly addresses: Tally;
  readonly metrics: SmtpMetrics;
  readonly logger: Logger;
}

type Callback = (error?: Error | null) => void;
type ProxyCallback = Parameters<SMTPServer['_handleProxy']>[1];

/** One SMTP listener: smtp-server, with its connections replaced by ours. */
export class RelayServer extends SMTPServer {
  readonly #deps: ServerDependencies;
  /** Those that are closing too, until their socket has gone. */
  readonly #open = new Map<SMTPServerSession, RelayConnection>();
  /** Connections on their way to a session. */
  readonly #incoming = new Map<string, Incoming>();
  #draining = false;

  constructor(deps: ServerDependencies) {
    super(libraryOptions(deps.settings(), deps.tls));
    this.#deps = deps;
    this.on('error', error => deps.logger.debug({ err: error }, 'connection error'));
  }

  /** Those in force now. */
  get settings(): ServerSettings {
    return this.#deps.settings();
  }

  /** Hands on to the library what it keeps of the settings. Open connections keep their time-out. */
  settingsChanged(): void {
    Object.assign(this.options, libraryLimits(this.settings));
  }

  /** Whether the server finishes what it has and takes nothing new. */
  get isDraining(): boolean {
    return this.#draining;
  }

  /** Listens. Rejects where the address is taken or not ours. @returns the port, also where 0 asked for any. */
  async open(port: number, host: string): Promise<number> {
    this.server.listen(port, host);
    await once(this.server, 'listening');
    return (this.server.address() as net.AddressInfo).port;
  }

  /**
   * Stops: no new connections, 421 to idle ones, and messages under way get their reply first. Resolves when the last
   * connection has gone or `deadlineMs` milliseconds have passed.
   */
  async drain(deadlineMs: number): Promise<void> {
    this.#draining = true;
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()));
    // These have no session yet that could be told anything.
    for (const socket of this._pendingSockets.values()) socket.destroy();
    for (const connection of this.connections as Set<RelayConnection>) {
      if (!connection.isBusy) connection.send(421, SHUTTING_DOWN);
    }
    const cutOff = setTimeout(() => this.#cutOff(), deadlineMs);
    await closed;
    clearTimeout(cutOff);
  }

  #cutOff(): void {
    for (const connection of this.#open.values()) {
      connection.send(421, SHUTTING_DOWN);
      connection._socket.destroy();
    }
  }

  /** From the next handshake on, clients get this certificate. */
  useTls(pair: TlsPair): void {
    this.updateSecureContext({ key: pair.key, cert: pair.cert });
  }

  override connect(socket: net.Socket, options?: SMTPConnectionOptions): void {
    const connection = new RelayConnection(this, socket, options);
    this.connections.add(connection);
    connection.on('error', error => this.emit('error', error));
    connection.init();
    this.#open.set(connection.session, connection);
  }

  override onClose(session: SMTPServerSession): void {
    this.#open.get(session)?.client.closed();
    this.#open.delete(session);
  }

  get metrics(): SmtpMetrics {
    return this.#deps.metrics;
  }

  openSession(id: string, clientAddress: string): Session {
    const isNamed = this.#incoming.get(id)?.isNamed ?? false;
    const trustedKey = () => (isNamed ? this.#deps.trustedKey(clientAddress) : null);
    return new Session({ id, clientAddress, trustedKey }, this.#deps.session);
  }

  newMessage(): IncomingMessage {
    return new IncomingMessage(this.settings, this.#deps.budget);
  }

  /** Why the connection is one too many; null where it is not. */
  refusalOf(id: string): Refusal | null {
    if (this.#deps.countConnections() > this.settings.connections) return tooManyConnections();
    return this.#incoming.get(id)?.isOver ? tooManyOfAddress() : null;
  }

  /** Whether a message of that declared size (RFC 1870; 0 for none) would be let in now. */
  hasRoomFor(bytes: number): boolean {
    return this.#deps.budget.hasRoomFor(bytes);
  }

  /** Greets at once: the library waits a turn, and a client that has spoken by then is turned away. */
  override onConnect(_session: SMTPServerSession, callback: Callback): void {
    callback();
  }

  override onSecure(_socket: TLSSocket, _session: SMTPServerSession, callback: Callback): void {
    callback();
  }

  override onMailFrom(address: SMTPServerAddress, session: SMTPServerSession, callback: Callback): void {
    this.#ask('MAIL', session, client => client.mail(address as PathCommand), callback);
  }

  override onRcptTo(address: SMTPServerAddress, session: SMTPServerSession, callback: Callback): void {
    this.#ask(
      'RCPT',
      session,
      client => client.recipient(address as PathCommand, session.envelope.smtpUtf8 === true, recipientsOf(session)),
      callback,
    );
  }

  #ask(step: Step, session: SMTPServerSession, ask: (client: Session) => Promise<void>, callback: Callback): void {
    const client = this.#open.get(session)?.client;
    if (!client) throw new Error('a session without a client');
    ask(client).then(
      () => callback(),
      error => {
        client.refused(step, error);
        callback(asLibraryError(error));
      },
    );
  }

  /** The library knows the PROXY protocol's first version only, and addresses but no networks. */
  override _expectsProxyHeader(socket: net.Socket): boolean {
    return this.#deps.isProxy(socket.remoteAddress ?? '');
  }

  /** Counts the connection for its address, from here to its end. */
  #letIn(socket: net.Socket, { id, address, isNamed, ...remote }: Caller, callback: ProxyCallback): void {
    const { addresses, metrics } = this.#deps;
    const network = clientNetwork(address);
    const limit = isNamed ? this.settings.connectionsPerAddress : 0;
    const isOver = !addresses.tryTake(network, limit || Number.POSITIVE_INFINITY);
    this.#incoming.set(id, { isNamed, isOver });
    const forget = (): void => {
      this.#incoming.delete(id);
      if (!isOver) addresses.giveBack(network);
    };
    if (socket.destroyed) forget();
    else socket.once('close', forget);
    if (isOver && this.settings.implicitTls) {
      // A handshake, for the sake of a reply, is what the limit is to spare.
      metrics.connections.inc();
      metrics.refusals.inc({ step: 'connect', rule: 'connections_per_address' });
      socket.destroy();
      callback(tooManyOfAddress());
      return;
    }
    callback(null, { id, ...remote });
  }

  override _handleProxy(socket: net.Socket, callback: ProxyCallback): void {
    const id = randomBytes(8).toString('hex');
    if (!this._expectsProxyHeader(socket)) {
      this.#letIn(socket, { id, address: socket.remoteAddress ?? '', isNamed: true }, callback);
      return;
    }
    readProxyHeader(socket, this.settings.proxyHeaderTimeout).then(
      ({ source }) => {
        const options = source && { remoteAddress: source.address, remotePort: source.port };
        const address = source?.address ?? socket.remoteAddress ?? '';
        // Without a source, whose connection it is remains unknown: the balancer's address says nothing of the client.
        this.#letIn(socket, { id, address, isNamed: source !== undefined, ...options }, callback);
      },
      error => {
        this.#deps.logger.info({ err: error, peer: socket.remoteAddress }, 'connection without a valid PROXY header');
        socket.destroy();
        callback(error);
      },
    );
  }
}

function recipientsOf({ envelope }: SMTPServerSession): readonly string[] {
  return envelope.rcptTo.map(({ address }) => address);
}

/** What is known of a connection before it has a session. */
interface Incoming {
  /** Whether its address is the client's. */
  readonly isNamed: boolean;
  /** It is one more than its address may have. */
  readonly isOver: boolean;
}

interface Caller extends Pick<Incoming, 'isNamed'> {
  readonly id: string;
  readonly address: string;
  readonly remoteAddress?: string;
  readonly remotePort?: number;
}

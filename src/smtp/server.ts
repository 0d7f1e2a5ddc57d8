import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type net from 'node:net';
import type { TLSSocket } from 'node:tls';
import { SMTPServer, type SMTPServerSession } from 'smtp-server';
import type { SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import type { Admission } from '../intake/admission.ts';
import type { Refusal } from '../message/refusal.ts';
import type { Logger } from '../observability/log.ts';
import { RelayConnection } from './connection.ts';
import { HeldReplies } from './held-replies.ts';
import { type AddressCounts, type Caller, type Incoming, IncomingConnections } from './incoming-connections.ts';
import type { ConnectionHost } from './library-connection.ts';
import { libraryLimits, libraryOptions, type ServerSettings } from './library-options.ts';
import type { SmtpMetrics } from './metrics.ts';
import { readProxyHeader } from './protocol/proxy-protocol.ts';
import { SHUTTING_DOWN, tooManyConnections } from './protocol/replies.ts';
import { Session, type SessionDependencies } from './session/session.ts';
import type { TlsPair } from './tls/certificate.ts';
import type { HandshakeMetrics } from './tls/handshakes.ts';

export interface ServerDependencies {
  /** Those in force now. */
  readonly settings: () => ServerSettings;
  readonly tls: TlsPair | null;
  readonly session: SessionDependencies;
  /** Shared by all listeners. */
  readonly admission: Admission;
  /** Connections of all listeners together. */
  readonly countConnections: () => number;
  /** Whether a peer is a load balancer that speaks the PROXY protocol. */
  readonly isProxy: (address: string) => boolean;
  /** The id of the key as which this address may send without a log-in; null for none. */
  readonly trustedKey: (address: string) => string | null;
  /** Shared by all listeners. */
  readonly counts: AddressCounts;
  readonly metrics: SmtpMetrics;
  readonly handshakes: HandshakeMetrics;
  readonly logger: Logger;
}

type Callback = (error?: Error | null) => void;
type UpgradeCallback = Parameters<SMTPServer['_upgrade']>[1];
type ProxyOptions = Pick<SMTPConnectionOptions, 'remoteAddress' | 'remotePort'>;
type ProxyCallback = Parameters<SMTPServer['_handleProxy']>[1];

/** One SMTP listener: smtp-server, with its connections replaced by ours. */
export class RelayServer extends SMTPServer implements ConnectionHost {
  readonly replies = new HeldReplies();
  readonly #deps: ServerDependencies;
  /** Those that are closing too, until their socket has gone. */
  readonly #open = new Map<SMTPServerSession, RelayConnection>();
  readonly #incoming: IncomingConnections;
  #draining = false;

  constructor(deps: ServerDependencies) {
    super(libraryOptions(deps.settings(), deps.tls));
    this.#deps = deps;
    this.#incoming = new IncomingConnections(deps);
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
   * Stops: no new connections, 421 to idle ones, and messages under way get their reply first. After `deadlineMs` milliseconds
   * those that are left are cut off, for which their statements are cancelled; `answerMs` milliseconds later they end without
   * an answer. Resolves when the last connection has gone.
   */
  async drain(deadlineMs: number, answerMs = 0): Promise<void> {
    this.#draining = true;
    const closed = new Promise<void>(resolve => this.server.close(() => resolve()));
    // These have no session yet that could be told anything.
    for (const socket of this._pendingSockets.values()) socket.destroy();
    for (const connection of this.connections as Set<RelayConnection>) {
      if (!connection.isBusy) connection.send(421, SHUTTING_DOWN);
    }
    const timers = [
      setTimeout(() => this.#cutOff(), deadlineMs),
      setTimeout(() => this.#abandon(), deadlineMs + answerMs),
    ];
    await closed;
    for (const timer of timers) clearTimeout(timer);
  }

  #cutOff(): void {
    for (const connection of this.#open.values()) connection.cutOff();
  }

  /** No answer leaves open what is not known: whether the database has a message or not. */
  #abandon(): void {
    for (const connection of this.#open.values()) {
      const { owesReply, id } = connection;
      if (owesReply) this.#deps.logger.warn({ session: id }, 'cut off without an answer: its message may be stored');
      connection.destroy();
    }
  }

  /** From the next handshake on, clients get this certificate. */
  useTls(pair: TlsPair): void {
    this.updateSecureContext({ key: pair.key, cert: pair.cert });
  }

  override connect(socket: net.Socket, options?: SMTPConnectionOptions): void {
    clearTimeout(this.#incoming.get(options?.id ?? '')?.deadline);
    const connection = new RelayConnection(this, socket, options);
    this.connections.add(connection);
    connection.on('error', error => this.emit('error', error));
    this.#open.set(connection.session, connection);
    connection.init();
  }

  override onClose(session: SMTPServerSession): void {
    this.#open.get(session)?.client.closed();
    this.#open.delete(session);
    this.#incoming.forget(session.id);
  }

  /** What is known of a connection by its id. */
  incoming(id: string): Incoming | undefined {
    return this.#incoming.get(id);
  }

  /** @param error what ended the handshake; null where the connection just ended */
  handshakeFailed(id: string, error: Error | null): void {
    this.#incoming.handshakeFailed(this.#incoming.get(id), error);
  }

  get metrics(): SmtpMetrics {
    return this.#deps.metrics;
  }

  get admission(): Admission {
    return this.#deps.admission;
  }

  openSession(id: string, clientAddress: string): Session {
    const isNamed = this.#incoming.get(id)?.isNamed ?? false;
    const trustedKey = isNamed ? () => this.#deps.trustedKey(clientAddress) : () => null;
    return new Session({ id, clientAddress, isNamed, trustedKey }, this.#deps.session);
  }

  /** Why the connection is one too many, or what goes wrong on purpose for it; null where it is to be greeted. */
  refusalOf(id: string): Refusal | null | Promise<Refusal | null> {
    if (this.#deps.countConnections() > this.settings.connections) return tooManyConnections();
    const { refusal = null, isNamed = false, address = '' } = this.#incoming.get(id) ?? {};
    return refusal ?? (isNamed ? this.#deps.session.connectChaos.refusalOf(address) : null);
  }

  /** Greets at once: the library waits a turn, and a client that has spoken by then is turned away. */
  override onConnect(_session: SMTPServerSession, callback: Callback): void {
    callback();
  }

  override onSecure(socket: TLSSocket, session: SMTPServerSession, callback: Callback): void {
    const protocol = socket.getProtocol();
    this.#deps.handshakes.secured(protocol);
    this.#open.get(session)?.client.secured(protocol, socket.getCipher().standardName);
    callback();
  }

  /** The library knows the PROXY protocol's first version only, and addresses but no networks. */
  override _expectsProxyHeader(socket: net.Socket): boolean {
    return this.#deps.isProxy(socket.remoteAddress ?? '');
  }

  #letIn(socket: net.Socket, caller: Caller, options: ProxyOptions, callback: ProxyCallback): void {
    const { refusal } = this.#incoming.add(socket, caller, () => {
      // Taking the socket from below a TLS handshake would be no end to rely on.
      (this._pendingSockets.get(socket) ?? socket).destroy(new Error('no TLS handshake in time'));
    });
    if (refusal && this.settings.implicitTls) {
      // A handshake, for the sake of a reply, is what the limit is to spare.
      this.metrics.connections.inc();
      this.metrics.refusals.inc({ step: 'connect', rule: refusal.rule });
      socket.destroy();
      callback(refusal);
      return;
    }
    callback(null, { id: caller.id, ...options });
  }

  /** Of implicit TLS. The library makes an `error` of a failed handshake, which names the load balancer as the client. */
  override _upgrade(socket: net.Socket, callback: UpgradeCallback): void {
    const incoming = this.#incoming.ofSocket(socket);
    super._upgrade(socket, (error, tlsSocket) => {
      if (error) {
        this.#incoming.handshakeFailed(incoming, error);
        // Load balancers see so whether the port is open.
        if (incoming?.hasSpoken()) this.openSession(incoming.id, incoming.address).handshakeFailed(error);
      }
      callback(error, tlsSocket);
    });
  }

  override _handleProxy(socket: net.Socket, callback: ProxyCallback): void {
    const id = randomBytes(8).toString('hex');
    if (!this._expectsProxyHeader(socket)) {
      this.#letIn(socket, { id, address: socket.remoteAddress ?? '', isNamed: true }, {}, callback);
      return;
    }
    readProxyHeader(socket, this.settings.proxyHeaderTimeout).then(
      ({ source }) => {
        const options = source ? { remoteAddress: source.address, remotePort: source.port } : {};
        const address = source?.address ?? socket.remoteAddress ?? '';
        // Without a source, whose connection it is remains unknown: the balancer's address says nothing of the client.
        this.#letIn(socket, { id, address, isNamed: source !== undefined }, options, callback);
      },
      error => {
        // Load balancers see so whether the port is open.
        const level = socket.bytesRead === 0 ? 'debug' : 'info';
        this.#deps.logger[level]({ err: error, peer: socket.remoteAddress }, 'connection without a valid PROXY header');
        socket.destroy();
        callback(error);
      },
    );
  }
}

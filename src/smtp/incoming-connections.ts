import type net from 'node:net';
import { Tally } from '../flow/tally.ts';
import { Refusal } from '../message/refusal.ts';
import type { Logger } from '../observability/log.ts';
import { clientNetwork, createNetworkMatcher } from '../platform/networks.ts';
import { tooManyOfAddress, tooManyStrangers } from './protocol/replies.ts';
import { type HandshakeMetrics, handshakeDetail, handshakeFailure } from './tls/handshakes.ts';

/** Whose connection it is. */
export interface Caller {
  readonly id: string;
  /** The client's, or the load balancer's. */
  readonly address: string;
  /** Whether its address is the client's. */
  readonly isNamed: boolean;
}

/** What is known of a connection, from its acceptance to its end. */
export interface Incoming extends Caller {
  /** It is one more than its address may have. */
  readonly refusal: Refusal | null;
  /** null where it is not counted. */
  readonly counted: CountedConnection | null;
  /** As `performance.now()` tells it. */
  readonly acceptedAt: number;
  /** Until there is a session. */
  readonly deadline: NodeJS.Timeout;
  /** Whether anything came behind the PROXY header. */
  readonly hasSpoken: () => boolean;
}

export interface IncomingDependencies {
  readonly settings: () => AddressLimits & { readonly loginTimeout: number };
  /** Shared by all listeners. */
  readonly counts: AddressCounts;
  /** The id of the key as which this address may send without a log-in; null for none. */
  readonly trustedKey: (address: string) => string | null;
  readonly handshakes: HandshakeMetrics;
  readonly logger: Logger;
}

/** The connections of one listener, counted for their addresses from their acceptance to their end. */
export class IncomingConnections {
  readonly #deps: IncomingDependencies;
  readonly #byId = new Map<string, Incoming>();
  /** By the socket below any TLS. */
  readonly #bySocket = new WeakMap<net.Socket, Incoming>();

  constructor(deps: IncomingDependencies) {
    this.#deps = deps;
  }

  get(id: string): Incoming | undefined {
    return this.#byId.get(id);
  }

  ofSocket(socket: net.Socket): Incoming | undefined {
    return this.#bySocket.get(socket);
  }

  /** One more. @param onTooLate it has no session when its time to log in is over */
  add(socket: net.Socket, caller: Caller, onTooLate: () => void): Incoming {
    const taken = caller.isNamed ? this.#count(caller.address) : null;
    const [refusal, counted] = taken instanceof Refusal ? [taken, null] : [null, taken];
    const before = socket.bytesRead;
    const hasSpoken = () => socket.bytesRead > before;
    const deadline = setTimeout(onTooLate, this.#deps.settings().loginTimeout).unref();
    const incoming = { ...caller, refusal, counted, acceptedAt: performance.now(), deadline, hasSpoken };
    this.#byId.set(caller.id, incoming);
    this.#bySocket.set(socket, incoming);
    // STARTTLS takes all listeners off the socket: a connection with a session is forgotten by its end.
    if (socket.destroyed) this.forget(caller.id);
    else socket.once('close', () => this.forget(caller.id));
    return incoming;
  }

  #count(address: string): CountedConnection | Refusal {
    return this.#deps.counts.take(address, this.#deps.trustedKey(address) !== null, this.#deps.settings());
  }

  /** The connection has ended. As often as one likes. */
  forget(id: string): void {
    const incoming = this.#byId.get(id);
    clearTimeout(incoming?.deadline);
    incoming?.counted?.ended();
    this.#byId.delete(id);
  }

  /** @param error what ended the handshake; null where the connection just ended */
  handshakeFailed(incoming: Incoming | undefined, error: Error | null): void {
    const reason = handshakeFailure(error);
    this.#deps.handshakes.failed(reason);
    // Load balancers see so whether the port is open.
    const isCheck = reason === 'closed' && !incoming?.hasSpoken();
    const details = { client: incoming?.address, reason, ...(error && { said: handshakeDetail(error) }) };
    this.#deps.logger[isCheck ? 'debug' : 'info'](details, 'TLS handshake failed');
  }
}

/** Limits of one address. */
export interface AddressLimits {
  /** 0: none. */
  readonly connectionsPerAddress: number;
  readonly strangersPerAddress: number;
}

/** What one connection is counted as. Each method does its work once, however often it is called. */
export interface CountedConnection {
  /** The client is no stranger any more. */
  known(): void;
  /** The connection has ended. */
  ended(): void;
}

/** Counts connections by client address, on all listeners: all of them, and those that have not logged in. */
export class AddressCounts {
  readonly #all = new Tally();
  readonly #strangers = new Tally();

  /** How many addresses have connections. */
  get addresses(): number {
    return this.#all.names;
  }

  /**
   * Counts one more.
   *
   * @param isKnown it need not log in
   * @returns the connection, or why it is one too many
   */
  take(address: string, isKnown: boolean, limits: AddressLimits): CountedConnection | Refusal {
    const network = clientNetwork(address);
    if (!this.#all.tryTake(network, limits.connectionsPerAddress || Number.POSITIVE_INFINITY)) {
      return tooManyOfAddress();
    }
    if (!isKnown && !this.#strangers.tryTake(network, limits.strangersPerAddress)) {
      this.#all.giveBack(network);
      return tooManyStrangers();
    }
    let isStranger = !isKnown;
    let isOpen = true;
    const known = (): void => {
      if (isStranger) this.#strangers.giveBack(network);
      isStranger = false;
    };
    const ended = (): void => {
      known();
      if (isOpen) this.#all.giveBack(network);
      isOpen = false;
    };
    return { known, ended };
  }
}

export interface TrustedNetwork {
  /** CIDR. */
  readonly network: string;
  readonly keyId: string;
}

/**
 * Builds the test for "as which key may this client send without a log-in?".
 *
 * @returns a function of the client's address: the id of the key that the first network with it names, or null
 */
export function createTrust(networks: readonly TrustedNetwork[]): (address: string) => string | null {
  const matchers = networks.map(({ network, keyId }) => ({ keyId, holds: createNetworkMatcher([network]) }));
  return address => matchers.find(({ holds }) => holds(address))?.keyId ?? null;
}

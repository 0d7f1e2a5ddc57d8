import { constants } from 'node:crypto';
import type { SecureVersion } from 'node:tls';
import type { Config } from '../config/schema.ts';
import type { TlsPair } from './tls/certificate.ts';

/** Limits of connections and their times, under the names of their settings. */
type ConnectionLimits = Pick<
  Config['limits'],
  | 'connections'
  | 'connectionsPerAddress'
  | 'loginTimeout'
  | 'idleTimeout'
  | 'dataTimeout'
  | 'dataGrace'
  | 'dataRate'
  | 'sessionTimeout'
>;

export interface ServerSettings extends ConnectionLimits {
  /** The name that greets clients. */
  readonly name: string;
  /** TLS from the first byte (RFC 8314 section 3.3) in place of STARTTLS. */
  readonly implicitTls: boolean;
  /** Offer STARTTLS, and AUTH only after it. */
  readonly startTls: boolean;
  /** The oldest version of TLS. */
  readonly minVersion: SecureVersion;
  /** In the words of OpenSSL; empty for those of RFC 9325. */
  readonly ciphers: string;
  readonly messageBytes: number;
  readonly bareLineEndings: 'reject' | 'accept';
  readonly recipients: number;
  /** The most of one address that have not logged in, on all listeners. */
  readonly strangersPerAddress: number;
  /** Milliseconds. */
  readonly proxyHeaderTimeout: number;
}

/**
 * Forward secrecy and AEAD (RFC 9325 section 4.2). The library lets the server choose, and a device
 * without AES in hardware chooses ChaCha20 by putting it first (`PRIORITIZE_CHACHA`).
 */
const CIPHERS = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');
/** Of TLS 1.3, which Node switches off where a list names none of them. */
const CIPHERS_13 = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';
/** Commands that the library knows and a submission relay has no use for. */
const DISABLED_COMMANDS = ['WIZ', 'SHELL', 'KILL', 'XCLIENT', 'XFORWARD', 'HELP'];
/** Milliseconds. Load balancers forget connections that were silent for 4 minutes (Azure) or 350 s (NLB). */
const KEEP_ALIVE = 60_000;
/** AUTH LOGIN alone takes three lines; this leaves room for the failed logins that are allowed. */
const UNAUTHENTICATED_COMMANDS = 100;

/** What can change while the listener is open. */
export function libraryLimits(settings: ServerSettings) {
  return {
    size: settings.messageBytes,
    // Until there is a session; then `SessionClock` watches it.
    socketTimeout: settings.idleTimeout,
    // Here for connections without a session as yet; the others are told so by `RelayConnection`.
    maxClients: settings.connections,
  };
}

/** The library's options for a listener with these settings. */
export function libraryOptions(settings: ServerSettings, tls: TlsPair | null) {
  return {
    name: settings.name,
    secure: settings.implicitTls,
    hideSTARTTLS: !settings.startTls,
    disabledCommands: settings.startTls ? DISABLED_COMMANDS : [...DISABLED_COMMANDS, 'STARTTLS'],
    // We refuse AUTH before STARTTLS ourselves; the library's switch would also hide it from its rules for MAIL.
    allowInsecureAuth: true,
    authMethods: ['PLAIN', 'LOGIN'],
    authRequiredMessage: settings.startTls
      ? 'Authentication required: issue STARTTLS, then AUTH'
      : 'Authentication required',
    maxAllowedUnauthenticatedCommands: UNAUTHENTICATED_COMMANDS,
    hideENHANCEDSTATUSCODES: false,
    disableReverseLookup: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE,
    ...libraryLimits(settings),
    logger: false as const,
    ...(tls && {
      key: tls.key,
      cert: tls.cert,
      minVersion: settings.minVersion,
      ciphers: cipherList(settings.ciphers),
      // A client must not make us do handshakes over and over in one connection.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_PRIORITIZE_CHACHA,
    }),
  };
}

function cipherList(configured: string): string {
  const list = configured || CIPHERS;
  return list.includes('TLS_') ? list : `${CIPHERS_13}:${list}`;
}

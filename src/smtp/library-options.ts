import { constants } from 'node:crypto';
import type { TlsPair } from './tls.ts';

export interface ServerSettings {
  /** The name that greets clients. */
  readonly name: string;
  /** TLS from the first byte (RFC 8314 section 3.3) in place of STARTTLS. */
  readonly implicitTls: boolean;
  /** Offer STARTTLS, and AUTH only after it. */
  readonly startTls: boolean;
  readonly messageBytes: number;
  readonly bareLineEndings: 'reject' | 'accept';
  readonly recipients: number;
  readonly connections: number;
  /** Of one address, on all listeners. */
  readonly connectionsPerAddress: number;
  /** Times in milliseconds. */
  readonly idleTimeout: number;
  readonly dataTimeout: number;
  readonly dataGrace: number;
  /** Bytes a second. */
  readonly dataRate: number;
  readonly sessionTimeout: number;
  readonly proxyHeaderTimeout: number;
}

/** Commands that the library knows and a submission relay has no use for. */
const DISABLED_COMMANDS = ['WIZ', 'SHELL', 'KILL', 'XCLIENT', 'XFORWARD', 'HELP'];
/** AUTH LOGIN alone takes three lines; this leaves room for the failed logins that are allowed. */
const UNAUTHENTICATED_COMMANDS = 100;

/** What can change while the listener is open. */
export function libraryLimits(settings: ServerSettings) {
  return {
    size: settings.messageBytes,
    maxRecipients: settings.recipients,
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
    ...libraryLimits(settings),
    logger: false as const,
    ...(tls && {
      key: tls.key,
      cert: tls.cert,
      minVersion: 'TLSv1.2' as const,
      // A client must not make us do handshakes over and over in one connection.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    }),
  };
}

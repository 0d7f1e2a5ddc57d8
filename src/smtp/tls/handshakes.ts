import { Counter, Gauge } from 'prom-client';
import type { Registry } from '../../observability/metrics.ts';

/** Why a TLS handshake came to nothing: as labels of a metric, so from this list only. */
export const HANDSHAKE_FAILURES = [
  'old_version',
  'no_shared_cipher',
  'certificate_refused',
  'not_tls',
  'no_starttls',
  'timeout',
  'closed',
  'other',
] as const;

export type HandshakeFailure = (typeof HANDSHAKE_FAILURES)[number];

/** What OpenSSL and Node say, in the order in which it is looked for. */
const PATTERNS: readonly (readonly [RegExp, HandshakeFailure])[] = [
  [/unsupported.protocol|version.too.low|protocol.version|inappropriate.fallback/i, 'old_version'],
  [/no.shared.cipher|no.ciphers|handshake.failure|no.suitable/i, 'no_shared_cipher'],
  [
    /alert.(?:unknown.ca|bad.certificate|certificate|unsupported.certificate|access.denied)|unknown.ca/i,
    'certificate_refused',
  ],
  [
    /http.request|wrong.version.number|packet.length|not.tls|bad.record|unknown.protocol|unexpected.message/i,
    'not_tls',
  ],
  [/no TLS handshake in time|handshake timeout/i, 'timeout'],
  [/socket (?:hang up|closed)|ECONNRESET|EPIPE|disconnected before secure/i, 'closed'],
];

/** Says that TLS came where SMTP was due; see `handshakeFailure`. */
export class UnaskedTls extends Error {}

/** @param error what ended the handshake; null where the connection just ended */
export function handshakeFailure(error: Error | null): HandshakeFailure {
  if (error === null) return 'closed';
  if (error instanceof UnaskedTls) return 'no_starttls';
  return (
    PATTERNS.find(([pattern]) => pattern.test(`${textOf(error, 'code')} ${handshakeDetail(error)}`))?.[1] ?? 'other'
  );
}

/** What there is to say beyond the reason: OpenSSL's words, where they are its, since smtp-server puts others in front. */
export function handshakeDetail(error: Error): string {
  return textOf(error, 'reason') || error.message;
}

function textOf(error: Error, name: string): string {
  const value: unknown = Reflect.get(error, name);
  return typeof value === 'string' ? value : '';
}

export interface HandshakeMetrics {
  /** A client got as far as a session in TLS. @param version as OpenSSL names it */
  secured(version: string | null): void;
  /** One did not. */
  failed(reason: HandshakeFailure): void;
}

const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

/** Also where there is no certificate: clients may speak TLS all the same. */
export function createHandshakeMetrics(registry: Registry): HandshakeMetrics {
  const sessions = new Counter({
    name: 'smtp_relay_tls_sessions_total',
    help: `Connections in TLS by its version: ${VERSIONS.join(', ')}; the first two on the port for old devices only`,
    labelNames: ['version'],
    registers: [registry],
  });
  const handshakes = new Counter({
    name: 'smtp_relay_tls_handshake_failures_total',
    help: `TLS handshakes that came to nothing, by reason: ${HANDSHAKE_FAILURES.join(', ')}`,
    labelNames: ['reason'],
    registers: [registry],
  });
  for (const reason of HANDSHAKE_FAILURES) handshakes.inc({ reason }, 0);
  return {
    secured: version => sessions.inc({ version: VERSIONS.find(name => name === version) ?? 'other' }),
    failed: reason => handshakes.inc({ reason }),
  };
}

/** Says that a port for old devices is open, for as long as it is. */
export function createLegacyMetrics(registry: Registry): void {
  const open = new Gauge({
    name: 'smtp_relay_tls_legacy_port',
    help: '1 where tls.legacyPort is open, whose TLS protects little; there is no such metric where it is not',
    registers: [registry],
  });
  open.set(1);
}

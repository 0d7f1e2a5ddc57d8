import { Counter, Gauge } from 'prom-client';
import type { Registry } from '../../observability/metrics.ts';
import { HANDSHAKE_FAILURES, type HandshakeFailure } from './handshake.ts';
import type { TlsPair } from './pair.ts';

export interface TlsMetrics {
  /** From the next handshake on, clients get this certificate. */
  inUse(pair: Pick<TlsPair, 'notAfter'>): void;
  /** A new pair could not be used. */
  refused(): void;
}

export interface HandshakeMetrics {
  /** A client got as far as a session in TLS. @param version as OpenSSL names it */
  secured(version: string | null): void;
  /** One did not. */
  failed(reason: HandshakeFailure): void;
}

const VERSIONS = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'] as const;

export function createTlsMetrics(registry: Registry): TlsMetrics {
  const expiry = new Gauge({
    name: 'smtp_relay_tls_certificate_expiry_timestamp_seconds',
    help: 'When the certificate in use ends, as Unix time',
    registers: [registry],
  });
  const failures = new Counter({
    name: 'smtp_relay_tls_reload_failures_total',
    help: 'How often a new certificate or key could not be used',
    registers: [registry],
  });
  return {
    inUse: ({ notAfter }) => expiry.set(notAfter.getTime() / 1000),
    refused: () => failures.inc(),
  };
}

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

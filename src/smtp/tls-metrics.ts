import { Counter, Gauge } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';
import type { TlsPair } from './tls.ts';

export interface TlsMetrics {
  /** From the next handshake on, clients get this certificate. */
  inUse(pair: Pick<TlsPair, 'notAfter'>): void;
  /** A new pair could not be used. */
  refused(): void;
}

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

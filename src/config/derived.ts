import { hostname } from 'node:os';
import type { Config } from './schema.ts';

/** SES takes at most this many recipients in one call, and OpenSend's worker makes one call a message. */
export const OPENSEND_RECIPIENTS = 50;

/** The most recipients of one message: what is configured, or what the pipeline can deliver. */
export function recipientLimit(config: Pick<Config, 'limits' | 'pipeline'>): number {
  if (config.limits.recipients > 0) return config.limits.recipients;
  return config.pipeline === 'standalone' ? 1000 : OPENSEND_RECIPIENTS;
}

/** Whether a sender's domain has to be one of the owner's, with `auto` resolved by the pipeline. */
export function senderDomainsMode(config: Pick<Config, 'senderDomains' | 'pipeline'>): 'owned' | 'any' {
  if (config.senderDomains !== 'auto') return config.senderDomains;
  return config.pipeline === 'standalone' ? 'owned' : 'any';
}

/** The name by which the relay greets clients (RFC 5321 section 4.2): what is configured, or the machine's. */
export function greetingName(config: Pick<Config, 'hostname'>): string {
  return config.hostname || hostname();
}

/** Whether clients can switch to TLS. */
export function hasTls(config: Pick<Config, 'tls'>): boolean {
  return config.tls.certPath !== '' && config.tls.keyPath !== '';
}

import { hostname } from 'node:os';
import type { Config } from './schema.ts';

/** SES takes at most this many recipients in one call, and OpenSend's worker makes one call a message. */
export const OPENSEND_RECIPIENTS = 50;

/** What any server should take (RFC 5321 section 4.5.3.1.8 asks for a hundred). */
const MOST_RECIPIENTS = 1000;

/**
 * The most recipients of one message: what is configured, or what the pipeline can deliver. A key may have fewer
 * (`RateLimits.mostRecipients`).
 */
export function recipientLimit({ limits, pipeline }: Pick<Config, 'limits' | 'pipeline'>): number {
  return limits.recipients || (pipeline === 'standalone' ? MOST_RECIPIENTS : OPENSEND_RECIPIENTS);
}

/**
 * The most RCPT commands of one transaction. A client that is told 452 sends the same message to the rest, which would come
 * to everybody once more where its header names the recipients: there the end of the message tells.
 */
export function envelopeLimit(config: Pick<Config, 'limits' | 'pipeline' | 'recipients'>): number {
  const limit = recipientLimit(config);
  return config.recipients === 'headers' ? Math.max(limit, MOST_RECIPIENTS) : limit;
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

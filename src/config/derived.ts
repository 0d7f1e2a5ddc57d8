import { hostname } from 'node:os';
import type { Config } from './schema.ts';

/** SES takes at most this many recipients in one call, and OpenSend's worker makes one call a message. */
export const OPENSEND_RECIPIENTS = 50;

/**
 * The most recipients of one message: what is configured, or what the pipeline can deliver. Never more than a key may have in
 * a minute or a day: the client is told to split the message (452), where 450 would make it try in vain for ever.
 */
export function recipientLimit({ limits, pipeline }: Pick<Config, 'limits' | 'pipeline'>): number {
  const ofPipeline = pipeline === 'standalone' ? 1000 : OPENSEND_RECIPIENTS;
  const inTime = [limits.recipientsPerMinute, limits.recipientsPerDay].filter(limit => limit > 0);
  return Math.min(limits.recipients || ofPipeline, ...inTime);
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

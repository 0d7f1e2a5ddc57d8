import type { Logger } from '../../observability/log.ts';
import { rewriteMessage } from '../../tracking/rewrite.ts';
import { decideTracking } from '../../tracking/settings.ts';
import { createLinks, type Tokens } from '../../tracking/token.ts';
import type { Track } from './outgoing.ts';

export interface TrackOptions {
  /** Asked for at each message, so that a new secret signs at once. */
  readonly tokens: () => { readonly tokens: Tokens; readonly canSign: boolean };
  /** `TRACKING_BASE_URL`; empty where there is none. */
  readonly baseUrl: string;
  readonly logger: Logger;
}

/** Warnings about the same domain are this many milliseconds apart, at least. */
const WARNING_INTERVAL = 60_000;
const MAX_WARNED = 1_000;

/** Tracks messages where their domain or they themselves ask for it. */
export function createTrack({ tokens, baseUrl, logger }: TrackOptions): Track {
  const warned = new Map<string, number>();
  const warn = (domain: string, reason: string): void => {
    if (performance.now() - (warned.get(domain) ?? Number.NEGATIVE_INFINITY) < WARNING_INTERVAL) return;
    if (warned.size >= MAX_WARNED) warned.clear();
    warned.set(domain, performance.now());
    logger.warn({ domain, reason }, 'tracking is asked for but not possible: messages go out without it');
  };
  return async (raw, { claim, fromDomain, domain, source }) => {
    const { tokens: signer, canSign } = tokens();
    const decision = decideTracking({ message: claim.message, domain, baseUrl, canSign });
    if (decision.kind === 'impossible') warn(fromDomain, decision.reason);
    if (decision.kind !== 'on') return raw;
    const { opens, clicks } = decision;
    const links = { baseUrl: decision.baseUrl, emailId: claim.emailId, owner: claim.message.userId };
    return rewriteMessage(raw, { opens, clicks, ...(source && { source }), ...createLinks(signer, links) });
  };
}

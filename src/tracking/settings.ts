/** What decides about the tracking of a message. */
export interface TrackingSettings {
  /** As the message asks; null: as the domain is set up. */
  readonly message: { readonly trackOpens: boolean | null; readonly trackClicks: boolean | null };
  /** The sender's domain; null where it is none of the owner's. */
  readonly domain: {
    readonly name: string;
    readonly trackOpens: boolean;
    readonly trackClicks: boolean;
    /** A label below the domain (`links`), or a whole host name. */
    readonly trackingSubdomain: string | null;
  } | null;
  /** `TRACKING_BASE_URL`; empty where there is none. */
  readonly baseUrl: string;
  /** Whether there is a secret to sign links with. */
  readonly canSign: boolean;
}

/**
 * `off`: tracking is not asked for. `impossible`: it is, but there is no host for the links or no secret to sign them, which is worth
 * a warning.
 */
export type TrackingDecision =
  | { readonly kind: 'on'; readonly opens: boolean; readonly clicks: boolean; readonly baseUrl: string }
  | { readonly kind: 'off' }
  | { readonly kind: 'impossible'; readonly reason: 'no_base_url' | 'no_secret' };

/** The message's wish wins over its domain's, and the domain's own tracking host over `TRACKING_BASE_URL`. */
export function decideTracking({ message, domain, baseUrl, canSign }: TrackingSettings): TrackingDecision {
  const opens = message.trackOpens ?? domain?.trackOpens ?? false;
  const clicks = message.trackClicks ?? domain?.trackClicks ?? false;
  if (!opens && !clicks) return { kind: 'off' };
  const base = domainBaseUrl(domain) ?? baseUrl;
  if (base === '') return { kind: 'impossible', reason: 'no_base_url' };
  if (!canSign) return { kind: 'impossible', reason: 'no_secret' };
  return { kind: 'on', opens, clicks, baseUrl: base };
}

function domainBaseUrl(domain: TrackingSettings['domain']): string | null {
  const subdomain = domain?.trackingSubdomain?.trim().replace(/\.$/, '').toLowerCase();
  if (!domain || !subdomain) return null;
  return `https://${subdomain.includes('.') ? subdomain : `${subdomain}.${domain.name}`}`;
}

import { createLookupCache } from '../../flow/lookup-cache.ts';
import { comparableDomain } from '../../message/addresses/address.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { comparableName, spellings } from './domains.ts';

/** What a row of `domains` says about sending from it. */
export interface DomainSettings {
  readonly name: string;
  readonly region: string;
  readonly configurationSet: string | null;
  /** `enforced`, `opportunistic`, or null where nothing is said. */
  readonly tls: string | null;
  readonly trackOpens: boolean;
  readonly trackClicks: boolean;
  readonly trackingSubdomain: string | null;
}

/** Milliseconds after which a change in the table counts. */
const TTL = 5_000;
const MAX_DOMAINS = 10_000;

const OWNED_TTL = 10_000;
/** A domain that was just added works within a second. */
const NOT_OWNED_TTL = 1_000;

/** Where several rows have the name, the one that SES knows counts, and the oldest of such. */
const FIND = `
  select name, region, nullif(ses_configuration_set_name, '') as "configurationSet", tls, track_opens as "trackOpens",
         track_clicks as "trackClicks", nullif(tracking_subdomain, '') as "trackingSubdomain"
    from domains where user_id = $1 and ${comparableName('name')} = any($2)
   order by status = 'verified' desc, created_at, id limit 1`;

/** How an owner's domain is set up; null where it is none of the owner's. What was found is kept for five seconds. */
export function createDomainLookup(db: Queryable): (userId: string, domain: string) => Promise<DomainSettings | null> {
  const cache = createLookupCache<DomainSettings | null>({
    find: async key => {
      const [domain = '', ...userId] = key.split('\n');
      const { rows } = await db.query<DomainSettings>(FIND, [userId.join('\n'), spellings(domain)]);
      return rows[0] ?? null;
    },
    ttl: () => TTL,
    max: MAX_DOMAINS,
  });
  return (userId, domain) => cache.lookup(`${comparableDomain(domain)}\n${userId}`);
}

const IS_OWNED = `
  select exists (select from domains where user_id = $1 and ${comparableName('name')} = any($2)) as owned`;

/** Whether the domain (in any spelling) is one of the owner's. */
export async function isOwned(db: Queryable, userId: string, domain: string): Promise<boolean> {
  const { rows } = await db.query<{ owned: boolean }>(IS_OWNED, [userId, spellings(comparableDomain(domain))]);
  return rows[0]?.owned === true;
}

/** `isOwned`, a yes kept for at most ten seconds, a no for one. */
export function createOwnershipCache(db: Queryable, now?: () => number) {
  const cache = createLookupCache<boolean>({
    find: key => {
      const [domain = '', ...userId] = key.split('\n');
      return isOwned(db, userId.join('\n'), domain);
    },
    ttl: owned => (owned ? OWNED_TTL : NOT_OWNED_TTL),
    max: MAX_DOMAINS,
    ...(now ? { now } : {}),
  });
  return {
    isOwned: (userId: string, domain: string): Promise<boolean> =>
      cache.lookup(`${comparableDomain(domain)}\n${userId}`),
  };
}

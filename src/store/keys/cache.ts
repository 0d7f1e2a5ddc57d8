import { createLookupCache, type LookupCache } from '../../flow/lookup-cache.ts';
import type { ApiKey } from './api-keys.ts';

/** A revoked key stops within ten seconds; the tenth is for the message that is on its way when the answer expires. */
const KNOWN_KEY_TTL = 9_000;
/** A new key works within a second of being created; guesses of one key cost one query a second. */
const UNKNOWN_KEY_TTL = 1_000;
const MAX_KEYS = 10_000;

export interface KeyCacheOptions {
  /** Finds a key by its hash; null for an unknown or invalid one. */
  readonly find: (hash: string) => Promise<ApiKey | null>;
  readonly now?: () => number;
}

/** API keys by hash (`hashKey`), so that not every message costs a query. */
export function createKeyCache(options: KeyCacheOptions): LookupCache<ApiKey | null> {
  return createLookupCache<ApiKey | null>({
    find: options.find,
    ttl: key => (key ? KNOWN_KEY_TTL : UNKNOWN_KEY_TTL),
    max: MAX_KEYS,
    ...(options.now ? { now: options.now } : {}),
  });
}

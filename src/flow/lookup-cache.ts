import { LRUCache } from 'lru-cache';

export interface LookupCacheOptions<V> {
  readonly find: (key: string) => Promise<V>;
  /** Milliseconds for which an answer may be used, counted from when it was asked for. */
  readonly ttl: (value: V) => number;
  /** Entries kept at most; the least recently used goes first. */
  readonly max: number;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Answers of a slow source, kept for a short while. Callers who ask for the same key at once share one look-up. */
export interface LookupCache<V> {
  /** Rejects with the source's error, which is not kept: the next call asks again. */
  lookup(key: string): Promise<V>;
}

export function createLookupCache<V>(options: LookupCacheOptions<V>): LookupCache<V> {
  const now = options.now ?? (() => performance.now());
  // Boxed, because the library takes a null or undefined answer for none.
  const cache = new LRUCache<string, { readonly value: V }>({
    max: options.max,
    ttl: 1,
    ttlResolution: 0,
    perf: { now },
    // A look-up pushed out by newer ones still answers those who wait for it.
    ignoreFetchAbort: true,
    fetchMethod: async (key, _stale, { options: entry }) => {
      const asked = now();
      const value = await options.find(key);
      // What the answer says was true when it was asked for, not when it arrived. A ttl of 0 would mean "for ever".
      entry.ttl = Math.max(1, options.ttl(value) - (now() - asked));
      return { value };
    },
  });
  return {
    async lookup(key) {
      // What is there is given at once: `fetch` makes promises of its own.
      const found = cache.get(key) ?? (await cache.fetch(key));
      if (!found) throw new Error('the look-up ended without an answer');
      return found.value;
    },
  };
}

import { LRUCache } from 'lru-cache';
import type { Logger } from '../../observability/log.ts';

/** A key's use is written at most once in this many milliseconds. */
const INTERVAL = 60_000;
/** Uses are collected for this long, so that many keys are one statement. */
const COLLECT = 1_000;
const MAX_KEYS = 10_000;

export interface LastUsedOptions {
  /** Writes the use of these key ids; see `touchLastUsed`. */
  readonly write: (ids: readonly string[]) => Promise<void>;
  readonly logger: Logger;
  readonly now?: () => number;
}

/** Records when keys were last used, beside the path of messages: marking waits for nothing and never fails. */
export interface LastUsedWriter {
  mark(keyId: string): void;
  /** Writes what is marked and not yet written. Never rejects. */
  stop(): Promise<void>;
}

export function createLastUsedWriter(options: LastUsedOptions): LastUsedWriter {
  const recent = new LRUCache<string, true>({
    max: MAX_KEYS,
    ttl: INTERVAL,
    ttlResolution: 0,
    ...(options.now ? { perf: { now: options.now } } : {}),
  });
  let pending = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  async function write(ids: readonly string[]): Promise<void> {
    try {
      await options.write(ids);
    } catch (error) {
      options.logger.warn({ err: error, keys: ids.length }, 'last use of API keys not recorded');
      // Forgotten, so that the next use tries again.
      for (const id of ids) recent.delete(id);
    }
  }

  function flush(): Promise<void> {
    clearTimeout(timer);
    timer = undefined;
    const ids = [...pending];
    pending = new Set();
    if (ids.length > 0) writing = writing.then(() => write(ids));
    return writing;
  }

  return {
    mark(keyId) {
      if (recent.has(keyId)) return;
      recent.set(keyId, true);
      pending.add(keyId);
      timer ??= setTimeout(flush, COLLECT).unref();
    },
    stop: flush,
  };
}

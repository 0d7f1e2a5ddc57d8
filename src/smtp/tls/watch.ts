import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../../observability/log.ts';
import { watchFolders } from '../../platform/watch-folders.ts';
import type { TlsMetrics } from './metrics.ts';
import { readTlsPair, type TlsPair, type TlsPaths } from './pair.ts';

export interface TlsWatchOptions {
  readonly paths: TlsPaths;
  /** The pair that is in use. */
  readonly current: TlsPair;
  readonly onChange: (pair: TlsPair) => void;
  /** As in `watchFolders`. */
  readonly onRequest?: (look: () => void) => () => void;
  readonly metrics: TlsMetrics;
  readonly logger: Logger;
}

/** Milliseconds for which a pair may be wrong: two files that are copied one after the other do not belong together meanwhile. */
const GRACE = 3_000;

/**
 * Takes up a renewed certificate from its files while the relay runs. A pair that cannot be used, and still cannot a little
 * later, is reported; the one in use stays.
 *
 * @returns stops watching
 */
export function watchTlsPair({ paths, current, onChange, onRequest, metrics, logger }: TlsWatchOptions): () => void {
  let inUse = current;
  let reported = '';
  const stopped = new AbortController();

  async function look(): Promise<void> {
    try {
      const pair = await readPatiently(paths, stopped.signal);
      reported = '';
      if (pair.cert === inUse.cert && pair.key === inUse.key) return;
      onChange(pair);
      inUse = pair;
      metrics.inUse(pair);
      logger.info({ notAfter: pair.notAfter }, 'TLS certificate renewed');
    } catch (error) {
      const { message } = error as Error;
      if (message === reported || stopped.signal.aborted) return;
      reported = message;
      metrics.refused();
      logger.error({ err: error }, 'new TLS certificate cannot be used; the old one stays');
    }
  }

  const stop = watchFolders({
    folders: [dirname(paths.certPath), dirname(paths.keyPath)],
    look,
    ...(onRequest && { onRequest }),
    onFault: (error, folder) => logger.warn({ err: error, folder }, 'certificate cannot be watched; it is polled'),
  });
  return () => {
    stopped.abort();
    stop();
  };
}

async function readPatiently(paths: TlsPaths, signal: AbortSignal): Promise<TlsPair> {
  try {
    return await readTlsPair(paths);
  } catch {
    await delay(GRACE, undefined, { signal, ref: false });
    return readTlsPair(paths);
  }
}

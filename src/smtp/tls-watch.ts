import { dirname } from 'node:path';
import { watchFolders } from '../config/watch-folders.ts';
import type { Logger } from '../observability/log.ts';
import { readTlsPair, type TlsPair, type TlsPaths } from './tls.ts';
import type { TlsMetrics } from './tls-metrics.ts';

export interface TlsWatchOptions {
  readonly paths: TlsPaths;
  /** The pair that is in use. */
  readonly current: TlsPair;
  readonly onChange: (pair: TlsPair) => void;
  readonly metrics: TlsMetrics;
  readonly logger: Logger;
}

/**
 * Takes up a renewed certificate from its files while the relay runs. A pair that cannot be used is reported and the one
 * in use stays.
 *
 * @returns stops watching
 */
export function watchTlsPair({ paths, current, onChange, metrics, logger }: TlsWatchOptions): () => void {
  let inUse = current;
  let reported = '';

  async function look(): Promise<void> {
    try {
      const pair = await readTlsPair(paths);
      reported = '';
      if (pair.cert === inUse.cert && pair.key === inUse.key) return;
      onChange(pair);
      inUse = pair;
      metrics.inUse(pair);
      logger.info({ notAfter: pair.notAfter }, 'TLS certificate renewed');
    } catch (error) {
      const { message } = error as Error;
      if (message === reported) return;
      reported = message;
      metrics.refused();
      logger.error({ err: error }, 'new TLS certificate cannot be used; the old one stays');
    }
  }

  return watchFolders({
    folders: [dirname(paths.certPath), dirname(paths.keyPath)],
    look,
    onFault: (error, folder) => logger.warn({ err: error, folder }, 'certificate cannot be watched; it is polled'),
  });
}

import { type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from '../observability/log.ts';
import { readTlsPair, type TlsPair, type TlsPaths } from './tls.ts';

export interface TlsWatchOptions {
  readonly paths: TlsPaths;
  /** The pair that is in use. */
  readonly current: TlsPair;
  readonly onChange: (pair: TlsPair) => void;
  readonly logger: Logger;
}

/** Watching misses changes on some file systems (NFS, FUSE), so the files are also read this often. */
const POLL = 10_000;
/** A renewal writes several files; what is read in between does not fit together. */
const SETTLE = 200;

/**
 * Takes up a renewed certificate from its files while the relay runs. A pair that cannot be used is reported and the one
 * in use stays.
 *
 * Folders are watched, not files: a watch on a file ends with the file that a renewal replaces.
 *
 * @returns stops watching
 */
export function watchTlsPair({ paths, current, onChange, logger }: TlsWatchOptions): () => void {
  let inUse = current;
  let reported = '';
  let settle: NodeJS.Timeout | undefined;

  async function check(): Promise<void> {
    try {
      const pair = await readTlsPair(paths);
      reported = '';
      if (pair.cert === inUse.cert && pair.key === inUse.key) return;
      onChange(pair);
      inUse = pair;
      logger.info({ notAfter: pair.notAfter }, 'TLS certificate renewed');
    } catch (error) {
      const { message } = error as Error;
      if (message !== reported) logger.error({ err: error }, 'new TLS certificate cannot be used; the old one stays');
      reported = message;
    }
  }

  function checkSoon(): void {
    clearTimeout(settle);
    settle = setTimeout(check, SETTLE);
  }

  const watchers = [...new Set([dirname(paths.certPath), dirname(paths.keyPath)])].flatMap(folder =>
    watchFolder(folder, checkSoon, logger),
  );
  const poll = setInterval(check, POLL).unref();
  return () => {
    clearTimeout(settle);
    clearInterval(poll);
    for (const watcher of watchers) watcher.close();
  };
}

function watchFolder(folder: string, onEvent: () => void, logger: Logger): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent);
    watcher.on('error', error =>
      logger.warn({ err: error, folder }, 'watching for certificates failed; polling goes on'),
    );
    return [watcher];
  } catch (error) {
    logger.warn({ err: error, folder }, 'watching for certificates is not possible; polling goes on');
    return [];
  }
}

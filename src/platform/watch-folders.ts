import { type FSWatcher, readdirSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';

export interface FolderWatchOptions {
  readonly folders: readonly string[];
  /** Something may have changed. Never called again while it is at work; it must not reject. */
  readonly look: () => Promise<void>;
  /** A folder cannot be watched; its files are still looked at from time to time. */
  readonly onFault: (error: unknown, folder: string) => void;
  /** Calls a function when somebody wants a look at once. @returns ends it */
  readonly onRequest?: (look: () => void) => () => void;
  /** Milliseconds between two looks where nothing is told of; 10 s unless given. */
  readonly poll?: number;
}

/** Milliseconds. Watching misses changes on some file systems (NFS, FUSE) and of subPath mounts. */
const POLL = 10_000;
/** Milliseconds. A change often comes as several: what is read in between does not fit together. */
const SETTLE = 200;

/**
 * Looks whenever something happens in one of the folders, and every ten seconds too.
 *
 * Folders are watched, not files: a watch on a file ends with the file that a new one replaces. Kubernetes replaces all
 * files of a mounted ConfigMap or Secret at once, by a new target of the folder's `..data` link.
 *
 * @returns stops watching
 */
export function watchFolders(options: FolderWatchOptions): () => void {
  const { folders, look, onFault, onRequest, poll: pollInterval = POLL } = options;
  let settle: NodeJS.Timeout | undefined;
  let atWork = false;
  let again = false;

  async function lookOnce(): Promise<void> {
    again = atWork;
    if (atWork) return;
    atWork = true;
    await look();
    atWork = false;
    if (again) lookSoon();
  }

  function lookSoon(): void {
    clearTimeout(settle);
    settle = setTimeout(lookOnce, SETTLE).unref();
  }

  const watchers = [...new Set(folders)].flatMap(folder => watchFolder(folder, lookSoon, onFault));
  const poll = setInterval(lookOnce, pollInterval).unref();
  const forget = onRequest?.(lookSoon);
  return () => {
    forget?.();
    clearTimeout(settle);
    clearInterval(poll);
    for (const watcher of watchers) watcher.close();
  };
}

function watchFolder(folder: string, onEvent: () => void, onFault: FolderWatchOptions['onFault']): FSWatcher[] {
  try {
    const watcher = watch(folder, { persistent: false }, onEvent);
    watcher.on('error', error => onFault(error, folder));
    return [watcher];
  } catch (error) {
    onFault(error, folder);
    return [];
  }
}

/**
 * A folder, and those right below it, which are mounts of their own where several ConfigMaps or Secrets are mounted side by side.
 * Mounts do not come and go while a process runs; what else does is found by polling.
 */
export function withFoldersBelow(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter(name => !name.startsWith('.'));
    const paths = names.map(name => join(folder, name));
    return [folder, ...paths.filter(path => statSync(path, { throwIfNoEntry: false })?.isDirectory())];
  } catch {
    return [folder];
  }
}

import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds. */
const TIME_LIMIT = 2_000;

/**
 * Makes a report that may hang or fail one that never holds up who asks: null stands for it then. While one is being made no
 * second one is begun, so that those who ask again and again take nothing more of what it hangs on.
 */
export function reportInTime<T>(make: () => Promise<T>, timeLimit = TIME_LIMIT): () => Promise<T | null> {
  let running: Promise<T | null> | undefined;
  return async () => {
    running ??= make()
      .catch(() => null)
      .finally(() => {
        running = undefined;
      });
    const ended = new AbortController();
    const timeUp = sleep(timeLimit, null, { signal: ended.signal }).catch(() => null);
    const report = await Promise.race([running, timeUp]);
    ended.abort();
    return report;
  };
}

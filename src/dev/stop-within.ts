import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for a part to stop, but no longer than this: what comes after it is to be stopped too. Never rejects. */
export async function stopWithin(milliseconds: number, stop: () => Promise<unknown>): Promise<void> {
  const stopped = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: stopped.signal }).catch(() => {});
  await Promise.race([stop().catch(() => {}), late]);
  stopped.abort();
}

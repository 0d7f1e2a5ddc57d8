import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits for a part to stop, but no longer than this: what stands below it is to be stopped too.
 *
 * @param part what it is called
 * @throws what `stop` throws, or an Error where it takes too long
 */
export async function stopWithin(part: string, milliseconds: number, stop: () => Promise<unknown>): Promise<void> {
  const stopped = new AbortController();
  const late = async () => {
    await sleep(milliseconds, undefined, { signal: stopped.signal });
    throw new Error(`${part} did not stop within ${milliseconds} ms`);
  };
  try {
    await Promise.race([stop(), late()]);
  } finally {
    stopped.abort();
  }
}

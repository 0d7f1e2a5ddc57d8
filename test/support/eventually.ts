import { setTimeout as sleep } from 'node:timers/promises';

/** Calls until it answers without an error and with something true. @throws the last error, or Error, at the deadline */
export async function eventually<T>(probe: () => Promise<T> | T, milliseconds = 5_000): Promise<T> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      if (performance.now() > deadline) throw new Error(`not so within ${milliseconds} ms`);
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await sleep(20);
  }
}

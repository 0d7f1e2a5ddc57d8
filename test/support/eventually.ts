import { setTimeout as sleep } from 'node:timers/promises';

/** Of the clock as it is, which a test may move. */
const now = performance.now.bind(performance);

/** Milliseconds; far more than any wait takes on a slow machine, since it costs nothing where a test passes. */
const PATIENCE = 120_000;

/**
 * Calls until it answers without an error and with something true. What must come before something else, such as a next
 * look, is tested by putting that off for longer than this.
 *
 * @throws the last error, or Error, at the deadline
 */
export async function eventually<T>(probe: () => Promise<T> | T, milliseconds = PATIENCE): Promise<T> {
  const deadline = now() + milliseconds;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      if (now() > deadline) throw new Error(`not so within ${milliseconds} ms`);
    } catch (error) {
      if (now() > deadline) throw error;
    }
    await sleep(20);
  }
}

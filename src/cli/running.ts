import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';

/** What has a life: it is started once, runs, and is stopped once. */
export interface Runnable {
  start(): Promise<unknown>;
  /** Rejects where it finds, later, that it must not go on. */
  readonly ended?: Promise<never>;
  stop(): Promise<void>;
}

/** How many milliseconds longer than messages under way all else may take to end. */
export const STOP_SLACK = 3_000;

/**
 * Starts, waits for the signal, stops. A start that takes long does not hold up the stop.
 *
 * @param stopTimeout milliseconds that the stop may take, asked for when it begins
 * @throws what `start` or `stop` throws, what `ended` rejects with, or an Error where stopping takes too long
 */
export async function runUntilAborted(app: Runnable, signal: AbortSignal, stopTimeout: () => number): Promise<void> {
  try {
    await Promise.race([app.start(), aborted(signal)]);
    await Promise.race([aborted(signal), ...(app.ended ? [app.ended] : [])]);
  } finally {
    await stopWithin(app, stopTimeout());
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}

async function stopWithin(app: Runnable, milliseconds: number): Promise<void> {
  const stopped = new AbortController();
  const late = async () => {
    await sleep(milliseconds, undefined, { signal: stopped.signal });
    throw new Error(`it did not stop within ${milliseconds} ms; what was not answered with 250 comes again`);
  };
  try {
    await Promise.race([app.stop(), late()]);
  } finally {
    stopped.abort();
  }
}

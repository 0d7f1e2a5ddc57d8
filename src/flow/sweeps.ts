import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../observability/log.ts';

export interface SweepOptions {
  /** Removes what no longer counts. */
  readonly sweep: () => Promise<unknown>;
  readonly logger: Logger;
  /** Milliseconds within which the first sweep comes: processes that were started together shall not come together. */
  readonly first?: number;
  /** Milliseconds from one sweep to the next, at most; half of it at least. */
  readonly interval?: number;
}

const FIRST = 60_000;
const INTERVAL = 3_600_000;

/** Sweeps soon after the start, so that a process which never lives for an hour does so too, and then now and then. */
export function startSweeps({ sweep, logger, first = FIRST, interval = INTERVAL }: SweepOptions): Disposable {
  const stopped = new AbortController();
  const pause = (milliseconds: number) =>
    delay(milliseconds, undefined, { signal: stopped.signal, ref: false }).catch(() => {});
  async function repeat(): Promise<void> {
    await pause(first * Math.random());
    while (!stopped.signal.aborted) {
      const isDone = await sweep().then(
        () => true,
        error => {
          logger.warn({ err: error }, 'what no longer counts is not deleted');
          return false;
        },
      );
      await pause((isDone ? interval : Math.min(first, interval)) * (0.5 + Math.random() / 2));
    }
  }
  void repeat();
  return { [Symbol.dispose]: () => stopped.abort() };
}

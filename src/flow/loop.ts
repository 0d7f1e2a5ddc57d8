import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../observability/log.ts';

export interface LoopOptions<T> {
  /** Ends the loop, behind the work under way. */
  readonly signal: AbortSignal;
  /** Milliseconds from the end of the work to its next beginning; by what came of it, which is undefined where it failed. */
  readonly pause: number | ((result: T | undefined) => number);
  /** Milliseconds until it begins for the first time; a pause unless given. */
  readonly first?: number;
  /** Is told of work that failed, which is repeated all the same. */
  readonly onFault?: (error: unknown) => void;
  /** Whether the process stays for its sake; it does unless given. */
  readonly ref?: boolean;
}

/** Does work again and again until the signal comes. Never rejects. */
export async function repeat<T>(work: () => Promise<T>, options: LoopOptions<T>): Promise<void> {
  const { signal, pause, onFault, ref = true } = options;
  const pauseAfter = (result?: T) => (typeof pause === 'number' ? pause : pause(result));
  for (let wait = options.first ?? pauseAfter(); !signal.aborted; ) {
    await rest(wait, signal, ref);
    if (signal.aborted) return;
    const result = await work().catch(error => {
      onFault?.(error);
      return undefined;
    });
    wait = pauseAfter(result);
  }
}

/** Waits for so many milliseconds, or until the signal comes. Never rejects. */
export async function rest(milliseconds: number, signal: AbortSignal, ref = true): Promise<void> {
  if (milliseconds > 0 && !signal.aborted) await delay(milliseconds, undefined, { signal, ref }).catch(() => {});
}

/** So much at most, and half of it at least: processes that were started together shall not come together. */
export function spread(milliseconds: number): number {
  return milliseconds * (0.5 + Math.random() / 2);
}

export interface SweepOptions {
  /** Removes what no longer counts. */
  readonly sweep: () => Promise<unknown>;
  readonly logger: Logger;
  /** Milliseconds within which the first sweep comes. */
  readonly first?: number;
  /** Milliseconds from one sweep to the next, at most; half of it at least. */
  readonly interval?: number;
}

const FIRST = 60_000;
const INTERVAL = 3_600_000;

/** Sweeps soon after the start, so that a process which never lives for an hour does so too, and then now and then. */
export function startSweeps({ sweep, logger, first = FIRST, interval = INTERVAL }: SweepOptions): Disposable {
  const stopped = new AbortController();
  void repeat(() => sweep().then(() => true), {
    signal: stopped.signal,
    first: first * Math.random(),
    pause: isDone => spread(isDone ? interval : Math.min(first, interval)),
    onFault: error => logger.warn({ err: error }, 'what no longer counts is not deleted'),
    ref: false,
  });
  return { [Symbol.dispose]: () => stopped.abort() };
}

export interface EventLoopWatch {
  /** For how many milliseconds the event loop has stood still; null where it turns, and has turned long enough. */
  stillFor(): number | null;
  stop(): void;
}

export interface EventLoopWatchOptions {
  /** Milliseconds for which the event loop may stand still. */
  readonly limit?: number;
  readonly now?: () => number;
}

const INTERVAL = 500;
const LIMIT = 10_000;
/** How long a standstill is told of after its end: one look of a liveness probe, which comes every ten seconds. */
const REMEMBERED = 10_000;

/**
 * Notices that the event loop stood still. While it does, nobody is answered, so that probes fail by their time-out; this
 * is for after it: a process that stands still again and again is told by every look, and one that goes on is soon well.
 */
export function watchEventLoop({
  limit = LIMIT,
  now = () => performance.now(),
}: EventLoopWatchOptions = {}): EventLoopWatch {
  let lastLook = now();
  let standstill: { readonly length: number; readonly end: number } | null = null;

  // A probe's request may be served before the timer that is late, so it looks too.
  function look(): void {
    const time = now();
    if (time - lastLook >= limit) standstill = { length: time - lastLook, end: time };
    lastLook = time;
  }
  const timer = setInterval(look, INTERVAL).unref();

  return {
    stillFor() {
      look();
      if (standstill && now() - standstill.end > REMEMBERED) standstill = null;
      return standstill?.length ?? null;
    },
    stop: () => clearInterval(timer),
  };
}

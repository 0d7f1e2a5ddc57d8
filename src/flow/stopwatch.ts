/**
 * Measures how long ago it was started, in milliseconds, by two clocks. A machine that is suspended does not count that time by its
 * monotonic clock, though it counts for everybody else; and the clock of the day may be put back. Whichever says more is right.
 */
export function startStopwatch(clocks: Clocks = SYSTEM): () => number {
  const began = { monotonic: clocks.monotonic(), wall: clocks.wall() };
  return () => Math.max(clocks.monotonic() - began.monotonic, clocks.wall() - began.wall);
}

/** Both in milliseconds. */
export interface Clocks {
  readonly monotonic: () => number;
  readonly wall: () => number;
}

const SYSTEM: Clocks = { monotonic: () => performance.now(), wall: () => Date.now() };

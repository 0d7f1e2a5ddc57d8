import type { TestContext } from 'node:test';

/** Milliseconds. */
let passed = 0;
const now = performance.now.bind(performance);

/**
 * Moves the monotonic clock of this process on, for good: what is kept for a while is out of date at once, and no test
 * sleeps for it. Timers wait as before, and so does what other processes do.
 *
 * @param milliseconds less than any time-out of what the test has open
 */
export function letPass(milliseconds: number): void {
  passed += milliseconds;
  performance.now = () => now() + passed;
}

/**
 * Nothing that waits for a timer comes to pass where that is set during the test. Beside a relay, of which others are running:
 * mocked timers could not clear those.
 */
export function holdTimers(t: TestContext): void {
  const { setTimeout } = globalThis;
  for (const name of ['setTimeout', 'setInterval'] as const) {
    t.mock.method(globalThis, name, (callback: () => void) => setTimeout(callback, 600_000).unref());
  }
}

/** A clock that stands still until it is told otherwise, `performance.now()` and `setTimeout` alike, for the time of a test. */
export class StoppedClock {
  readonly #t: TestContext;
  #now = 0;

  constructor(t: TestContext) {
    this.#t = t;
    t.mock.timers.enable({ apis: ['setTimeout'] });
    t.mock.method(performance, 'now', () => this.#now);
  }

  get now(): number {
    return this.#now;
  }

  /** @param step what passes between two moments at which timers are due */
  pass(milliseconds: number, step = 1): void {
    for (const end = this.#now + milliseconds; this.#now < end; this.#t.mock.timers.tick(step)) this.#now += step;
  }
}

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

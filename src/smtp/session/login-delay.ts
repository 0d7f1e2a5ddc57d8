const FIRST = 1_000;

/**
 * How long a log-in has to wait after failed ones: nothing at first, then 1 s, and twice as long with each further failure.
 *
 * @param failures so far
 * @param allowed as many have no consequence; 0: none ever has
 * @param longest in milliseconds
 * @returns milliseconds
 */
export function loginDelay(failures: number, allowed: number, longest: number): number {
  if (allowed === 0 || failures < allowed) return 0;
  return Math.min(longest, FIRST * 2 ** (failures - allowed));
}

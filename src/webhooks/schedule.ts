const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Milliseconds after each failure in turn; a failure after the last one is final. */
export const RETRY_PAUSES: readonly number[] = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR];

/** How much later than its pause a try may be, so that tries that failed together do not come together again. */
const JITTER = 0.2;
/** An endpoint's `Retry-After` makes a pause longer, but no longer than the longest of ours. */
const MAX_RETRY_AFTER = 10 * HOUR;

/**
 * How long to wait after a failure.
 *
 * @param attempts tries so far, the failed one among them
 * @param retryAfter the header as it came: seconds or a date (RFC 9110 section 10.2.3)
 * @param random at least 0 and less than 1
 * @returns milliseconds; null where it was the last try
 */
export function pauseAfter(
  attempts: number,
  retryAfter: string | undefined,
  random: () => number,
  now: Date,
): number | null {
  const pause = RETRY_PAUSES[attempts - 1];
  if (pause === undefined) return null;
  const asked = Math.min(parseRetryAfter(retryAfter, now), MAX_RETRY_AFTER);
  return Math.round(Math.max(pause, asked) * (1 + JITTER * random()));
}

/** Milliseconds; 0 where nothing is asked for, or nobody can tell what. */
function parseRetryAfter(value: string | undefined, now: Date): number {
  if (value === undefined) return 0;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * SECOND;
  const wait = Date.parse(value) - now.getTime();
  return wait > 0 ? wait : 0;
}

import type { AttemptOutcome, EarlierAttempt } from '../store/delivery/claims.ts';
import type { ProviderError, Standing } from '../store/delivery/settle.ts';

/** Times in milliseconds. */
export interface RetryPolicy {
  readonly firstPause: number;
  readonly longestPause: number;
  /** From the first try on, but for the time for which it stood still. */
  readonly limit: number;
  /** From the acceptance on, where it is the way out that is at fault. */
  readonly maxAge: number;
  readonly onUnknownOutcome: 'retry' | 'hold';
}

export interface TryResult {
  readonly progress: Progress;
  /** The try that has just ended; 0 for the first. */
  readonly try: number;
  /** Milliseconds since the first try of the message began, but for those for which the limit stood still. */
  readonly age: number;
  /** Milliseconds since the message was accepted. */
  readonly sinceAcceptance: number;
  /** The last error of this try. */
  readonly error: ProviderError | null;
  /** The provider asked for fewer calls, which says nothing about the message. */
  readonly throttled: boolean;
  /** It is about the way out, and so is no fault of the message's. */
  readonly isRoutesFault: boolean;
}

/** A throttled message is tried again soon: the rate limiter holds it back by then. */
const THROTTLED_PAUSE = 2_000;
const UNKNOWN_ERROR: ProviderError = { code: 'Unknown', message: 'the message could not be sent' };

/** Where a message stands after a try. Pure but for `random`, which gives numbers from 0 to 1. */
export function standingAfter(result: TryResult, policy: RetryPolicy, random = Math.random): Standing {
  const { progress } = result;
  const hold = policy.onUnknownOutcome === 'hold';
  if (progress.has('open', 'transient') || (!hold && progress.has('unknown'))) {
    const error = result.error ?? UNKNOWN_ERROR;
    const { isRoutesFault: standsStill } = result;
    const left = standsStill ? policy.maxAge - result.sinceAcceptance : policy.limit - result.age;
    // Whoever decides about the recipients of whom nobody knows also gives the others one more try.
    if (left <= 0)
      return hold && progress.has('unknown') ? { kind: 'held' } : { kind: 'failed', error, exhausted: true };
    const afterMs = Math.min(pauseAfter(result, policy, random), left);
    return { kind: 'retry', error, afterMs, ...(standsStill && { standsStill }) };
  }
  if (progress.has('unknown')) return { kind: 'held' };
  if (progress.has('permanent')) return { kind: 'failed', error: result.error, exhausted: false };
  return { kind: progress.has('sent') ? 'sent' : 'suppressed' };
}

/** Doubles with each try, spread by a quarter either way, so that what failed together does not come back together. */
function pauseAfter(result: TryResult, policy: RetryPolicy, random: () => number): number {
  const spread = 0.75 + random() / 2;
  const full = result.throttled ? THROTTLED_PAUSE : policy.firstPause * 2 ** Math.min(result.try, 30);
  return Math.round(Math.min(full, policy.longestPause) * spread);
}

/** What is known of one recipient; `open` before the first try. */
type RecipientState = 'open' | AttemptOutcome;

/** After these a recipient is never sent to again. */
const DONE: ReadonlySet<RecipientState> = new Set(['sent', 'permanent', 'suppressed']);

/** Where each recipient of a message stands, over all its tries. */
export class Progress {
  readonly #states: Map<string, RecipientState>;

  constructor(recipients: readonly string[], earlier: readonly EarlierAttempt[]) {
    this.#states = new Map(recipients.map(recipient => [recipient, 'open']));
    for (const { recipients: tried, outcome } of earlier) this.note(tried, outcome);
  }

  /** What is done stays done, whatever is told later. */
  note(recipients: readonly string[], outcome: AttemptOutcome): void {
    for (const recipient of recipients) {
      const state = this.#states.get(recipient);
      if (state !== undefined && !DONE.has(state)) this.#states.set(recipient, outcome);
    }
  }

  /** The recipients in one of these states, in the order of the envelope. */
  in(...states: readonly RecipientState[]): string[] {
    return [...this.#states].filter(([, state]) => states.includes(state)).map(([recipient]) => recipient);
  }

  has(...states: readonly RecipientState[]): boolean {
    return [...this.#states.values()].some(state => states.includes(state));
  }
}

/**
 * What one account may send in one region just now. Nobody waits in here: whoever has several messages decides which of them goes
 * next, and asks for that one.
 */
export interface SendAllowance {
  /** Milliseconds until a call for so many recipients may begin, as far as that is known; 0: now. Costs nothing. */
  waitFor(recipients: number): number;
  /** Takes what the call needs; only right after `waitFor` has said 0. */
  take(recipients: number): void;
  /** The provider said that there were too many calls: slows this worker, and tells the others. */
  throttled(): void;
  /** How many recipients the day's quota still lets through; null where nobody knows, or there is none. At 0 nothing goes. */
  readonly quotaLeft: number | null;
}

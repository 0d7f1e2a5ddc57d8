import type { AttemptOutcome, EarlierAttempt } from '../store/delivery/claims.ts';

/** What is known of one recipient; `open` before the first try. */
export type RecipientState = 'open' | AttemptOutcome;

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

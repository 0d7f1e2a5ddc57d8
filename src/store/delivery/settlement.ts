import type { NewEvent } from '../event-types.ts';
import type { NewMessage } from '../messages/new-message.ts';
import type { AttemptOutcome, Claim } from './claim.ts';

/** In the place of a transport's name, where no call was made: what is said of those recipients is the worker's own word. */
export const NO_CALLS: ReadonlySet<string> = new Set(['none', 'simulated']);

/** One outcome of one call to a transport, for the recipients that it is about. */
export interface Attempt {
  readonly transport: string;
  readonly recipients: readonly string[];
  readonly outcome: AttemptOutcome;
  readonly code: string | null;
  readonly message: string | null;
  readonly providerMessageId: string | null;
  readonly startedAt: Date;
}

/**
 * Where a message stands after a try. `sent`, `failed` and `suppressed` are final. `retry`: queued again, and due later.
 * `later`: the same, but no try has ended, since it only waits to go on.
 * `held`: nobody knows whether it was sent, and a person is to say. `underway`: part of it is done, the worker keeps it.
 */
export type Standing =
  | { readonly kind: 'sent' | 'suppressed' | 'underway' }
  /** With an error where it is held for another reason than an unknown outcome. */
  | { readonly kind: 'held'; readonly error?: ProviderError }
  /** It was tried for as long as the policy allows. */
  | { readonly kind: 'failed'; readonly error: ProviderError; readonly exhausted: true }
  /** Without an error where this try brought none; the row then keeps the one that it has. */
  | { readonly kind: 'failed'; readonly error: ProviderError | null; readonly exhausted: false }
  | {
      readonly kind: 'retry';
      readonly error: ProviderError;
      readonly afterMs: number;
      /** It came to nothing for no fault of the message's: that time does not count. Left out: it was. */
      readonly standsStill?: boolean;
    }
  | { readonly kind: 'later'; readonly afterMs: number };

export interface ProviderError {
  readonly code: string;
  readonly message: string;
}

/** Everything that a try of a message came to. It is written as a whole, or of it only what transports have answered. */
export interface Settlement {
  readonly claim: Claim;
  readonly standing: Standing;
  readonly attempts: readonly Attempt[];
  readonly events: readonly NewEvent[];
  /** Ties the next try's job to this one. */
  readonly trace: { readonly correlationId: string; readonly traceparent: string };
  /** A message to the sender, stored and queued by the same commit. */
  readonly notice: NewMessage | null;
}

/** A settlement that is written. */
export interface Settled {
  /** False where the claim was another worker's by then: only what transports have answered was written. */
  readonly owned: boolean;
  /** Webhook deliveries became due, for this settlement or one written with it. */
  readonly deliveriesDue: boolean;
}

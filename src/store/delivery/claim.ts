import type { NewEvent } from '../event-types.ts';
import type { CARRIED, EMAIL, ValuesOf } from '../messages/columns.ts';
import type { Arrival, NewMessage } from '../messages/new-message.ts';

/** How an attempt at some recipients of a message ended. */
export type AttemptOutcome = 'sent' | 'transient' | 'permanent' | 'unknown' | 'suppressed';

/** A message that this worker has, and nobody else, for as long as its lease is renewed. */
export interface Claim {
  readonly emailId: string;
  /** Fences: a write with a token that is no longer the claim's changes nothing. */
  readonly token: string;
  /** 0 for the first; `emails.provider_retry_count`. */
  readonly try: number;
  readonly message: ClaimedMessage;
  /** What earlier tries came to, in their order. */
  readonly earlier: readonly EarlierAttempt[];
  /** How many workers it has been lost with. Left out: none. */
  readonly takeovers?: number;
}

/** What is stored of a message, but for its bodies. */
export interface ClaimedMessage
  extends ValuesOf<typeof CARRIED>,
    Pick<ValuesOf<typeof EMAIL>, 'from' | 'to' | 'subject' | 'tags'> {
  readonly userId: string | null;
  readonly acceptedAt: Date;
  /** The Message-ID that the client gave, without angle brackets. */
  readonly messageId: string | null;
  readonly sizeBytes: number;
  /** How it came in; null where it did not come by SMTP. */
  readonly arrival: Arrival | null;
  /** Of the span in which it was received; null where that is not known. */
  readonly traceparent: string | null;
  /** Seconds for which the limit of its tries stood still. Left out: none. */
  readonly stoodStill?: number;
  /** Where it is in object storage, if it is. */
  readonly objectUrl?: string | null;
  /** The message itself where it is small; null where it is to be read by `readRawMessage`. */
  readonly raw: Buffer | null;
}

export interface EarlierAttempt {
  readonly recipients: readonly string[];
  readonly outcome: AttemptOutcome;
  /** ISO 8601. */
  readonly startedAt: string;
}

/** A claim as the database answers with it. */
export interface ClaimRow extends ClaimedMessage {
  readonly emailId: string;
  readonly token: string;
  readonly try: number;
  readonly earlier: readonly EarlierAttempt[] | null;
  readonly lost?: readonly string[] | null;
  readonly lostAt?: Date | null;
  readonly takeovers?: number;
}

/** Where a call was lost with its worker, that is the last thing known. */
export function claimOf({
  emailId,
  token,
  try: attempt,
  earlier,
  lost,
  lostAt,
  takeovers = 0,
  ...message
}: ClaimRow): Claim {
  // The statement that wrote the unknown outcome down does not see it yet.
  const startedAt = (lostAt ?? new Date()).toISOString();
  const unknown = lost ? [{ recipients: lost, outcome: 'unknown' as const, startedAt }] : [];
  return {
    emailId,
    token,
    try: attempt,
    message: {
      ...message,
      tags: message.tags ?? [],
      bodyType: message.bodyType ?? '7BIT',
      refused: message.refused ?? [],
    },
    earlier: [...(earlier ?? []), ...unknown],
    takeovers,
  };
}

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

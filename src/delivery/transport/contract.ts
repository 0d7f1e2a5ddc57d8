import type { TransportKind } from '../../config/transports/list.ts';
import type { Tag } from '../../message/header/control-headers.ts';
import type { Span } from '../../observability/tracing.ts';
import type { DomainSettings } from '../../store/owners/domain-lookup.ts';
import type { OutgoingBytes, Preview } from '../outgoing/bytes.ts';

/** A message as it is handed to a transport: composed, with the recipients of this call. */
export interface OutgoingMessage {
  readonly emailId: string;
  readonly userId: string | null;
  /** The bytes that go out, with CRLF line ends. */
  readonly raw: OutgoingBytes;
  /** Envelope sender without angle brackets; empty is the null reverse-path (RFC 5321 section 4.5.5). */
  readonly reversePath: string;
  /** The mailbox of From, for transports that want an identity: address only. */
  readonly from: string;
  /** Envelope recipients of this call, at most `maxRecipients` of the transport. */
  readonly recipients: readonly string[];
  /** `7BIT` or `8BITMIME` (RFC 6152). */
  readonly bodyType: string;
  readonly smtpUtf8: boolean;
  readonly tags: readonly Tag[];
  /** The sender's domain as it is set up in `domains`; null where it is none of the owner's. */
  readonly domain: SendingDomain | null;
}

/** What a row of `domains` says about sending. */
export type SendingDomain = Pick<DomainSettings, 'name' | 'region' | 'configurationSet' | 'tls'>;

/**
 * How a call ended for some recipients. `transient`: it may work later. `permanent`: it never will. `unknown`: nobody can
 * say whether it was sent.
 */
export type Outcome =
  | { readonly kind: 'sent'; readonly providerMessageId: string | null; readonly response?: string }
  | {
      readonly kind: 'transient' | 'permanent' | 'unknown';
      /** A short, stable word or reply code: `ThrottlingException`, `550`, `ETIMEDOUT`. */
      readonly code: string;
      /** For the operator and the owner; at most some hundred characters, without secrets. */
      readonly message: string;
      /** The provider asked for fewer calls: this says nothing about the message, and does not count as a try of it. */
      readonly throttled?: boolean;
      /** What is the matter with the way out itself, whoever's message comes by it. Left out: nothing that is known. */
      readonly reason?: RouteFault;
      /** Only some of the messages that come by that way share it: those of the same `part` of the transport. Left out: all do. */
      readonly ofPart?: true;
    };

/**
 * Why a route cannot be used: nobody answers or takes the connection; our log-in is refused; the account may not send; it has used
 * up what it may send in a day; it is called too often.
 */
export type RouteFault = 'connect' | 'credentials' | 'paused' | 'quota' | 'throttled';

/** The outcome of a call for some of its recipients. */
export interface RecipientOutcome {
  readonly recipients: readonly string[];
  readonly outcome: Outcome;
}

/** Hands messages to whoever delivers them. */
export interface Transport {
  readonly kind: TransportKind;
  /** The most recipients of one call. */
  readonly maxRecipients: number;
  /** The most calls at the same time. Absent: as many as there are. */
  readonly calls?: number;
  /** Which of several ways out, none of which the others' troubles concern: a region. Absent: there is one. */
  region?(message: Pick<OutgoingMessage, 'domain'>): string;
  /**
   * What may be stopped by itself within that way out, and what that is for this message, in a few characters: a configuration set.
   * Empty: nothing. Absent: there is no such thing.
   */
  part?(message: Pick<OutgoingMessage, 'domain'>): string;
  /**
   * Waits until a call for so many recipients may be made, where the provider limits the rate. Absent: at once.
   *
   * @throws the signal's reason
   */
  admit?(recipients: number, signal: AbortSignal, message: Pick<OutgoingMessage, 'domain'>): Promise<void>;
  /**
   * What limits the rate of calls for this message, the same object for all that share it; null where nothing does. Absent: nothing.
   */
  allowance?(message: Pick<OutgoingMessage, 'domain'>): SendAllowance | null;
  /** What is to see all bytes of a large message before it is sent, for `raw.preview`. Absent: nothing. */
  preview?(): Preview;
  /**
   * One call. Never rejects: every recipient of the message is in exactly one of the outcomes.
   *
   * @param signal the worker is stopping and will wait no longer; a call that has begun then ends as `unknown`
   * @param span of this call, for what only the transport knows of it
   */
  send(message: OutgoingMessage, signal: AbortSignal, span?: Span): Promise<readonly RecipientOutcome[]>;
  close(): Promise<void>;
}

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

import type { DeliveryControls, Tag } from '../../message/header/control-headers.ts';
import type { AttachmentInfo } from '../../message/mime/parts.ts';
import type { BodyText } from '../../message/text/body-text.ts';
import type { TraceContext } from '../../observability/tracing.ts';
import type { KeyUsage, UsageCount } from '../keys/usage.ts';

/** A message that is to be stored: the row of `emails`, and what goes beside it. */
export interface NewMessage {
  readonly id: string;
  readonly userId: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly cc: readonly string[];
  readonly bcc: readonly string[];
  readonly replyTo: readonly string[];
  readonly subject: string;
  readonly text: BodyText | null;
  readonly html: BodyText | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly attachments: readonly AttachmentInfo[];
  /** `emails.attachments` with contents, as UTF-8 JSON; null stores the descriptions only. */
  readonly attachmentsJson: Uint8Array | null;
  readonly tags: readonly Tag[];
  readonly trace: TraceContext;
  /** The client's Message-ID without its angle brackets. */
  readonly messageId: string | null;
  /** Standalone pipeline: what the worker sends. */
  readonly original: OriginalMessage | null;
  readonly idempotency: IdempotencyClaim | null;
  /** Left out where nothing limits what its key may send. */
  readonly counted?: UsageCount;
}

/** The message as received and its envelope: a row of `smtp_relay_messages`. */
export interface OriginalMessage extends DeliveryControls {
  readonly raw: Buffer;
  readonly sha256: Buffer;
  readonly reversePath: string;
  readonly recipients: readonly string[];
  readonly bodyType: string;
  readonly smtpUtf8: boolean;
  /** Left out for a message that did not come by SMTP. */
  readonly arrival?: Arrival;
  /** It is for the transport `capture` only. */
  readonly captured?: boolean;
  /** Recipients whom the client was refused at RCPT, since they are on the suppression list; left out where there are none. */
  readonly refused?: readonly string[];
}

/** How a message came in. */
export interface Arrival {
  readonly clientAddress: string;
  readonly sessionId: string;
  /** What the client called itself. */
  readonly helo: string;
  /** As `Received:` names it (RFC 3848): `ESMTPSA`. */
  readonly protocol: string;
  /** The name of the relay that took it. */
  readonly receivedBy: string;
}

/** A client's idempotency key and what it was sent with. */
export interface IdempotencyClaim {
  readonly key: string;
  /** SHA-256 of reverse-path and recipients: clients split one message by its recipients. */
  readonly envelopeHash: Buffer;
  /** SHA-256 of what makes two messages the same: From, Subject, decoded bodies, hashes of the attachments. */
  readonly contentHash: Buffer;
}

/** `repeated`: the message was accepted before, under that id. `conflict`: the key was used for another message. */
export type IdempotencyOutcome = { readonly kind: 'repeated'; readonly id: string } | { readonly kind: 'conflict' };

/** `over`: a limit of its key is reached, and nothing is stored. */
export type StoreOutcome =
  | { readonly kind: 'stored' }
  | { readonly kind: 'over'; readonly usage: KeyUsage }
  | IdempotencyOutcome;

import type { MessageBytes } from '../../message/bytes.ts';
import type { DeliveryControls } from '../../message/header/control-headers.ts';
import type { ContentApart } from '../../message/mime/base64.ts';
import type { TraceContext } from '../../observability/tracing.ts';
import type { KeyUsage, UsageCount } from '../keys/usage.ts';
import type { ARRIVAL, CARRIED, EMAIL, ValuesOf } from './columns.ts';

/** A message that is to be stored: the row of `emails`, and what goes beside it. */
export interface NewMessage extends ValuesOf<typeof EMAIL> {
  /** `emails.attachments` with contents, as UTF-8 JSON; null stores the descriptions only. */
  readonly attachmentsJson: Uint8Array | null;
  /** What one of them has in place of its content there. Such a message is stored alone. */
  readonly contentApart?: ContentApart;
  readonly trace: TraceContext;
  /** The client's Message-ID without its angle brackets. */
  readonly messageId: string | null;
  /** Standalone pipeline: what the worker sends. */
  readonly original: OriginalMessage | null;
  readonly idempotency: IdempotencyClaim | null;
  /** Left out where nothing limits what its key may send. */
  readonly counted?: UsageCount;
  /** Addresses of which none may be on the owner's suppression list when it is stored. Left out: they do not matter. */
  readonly suppressible?: readonly string[];
}

type Carried = ValuesOf<typeof CARRIED>;

/** The message as received and its envelope: a row of `smtp_relay_messages`. What its client does not ask for is left out. */
export interface OriginalMessage
  extends Omit<Carried, 'captured' | 'sandbox' | 'refused' | keyof DeliveryControls>,
    Partial<DeliveryControls> {
  /** Empty where it is kept as an object. */
  readonly raw: MessageBytes;
  /** Of the bytes received. */
  readonly sha256: Buffer;
  /** Left out: it is kept in the row. */
  readonly object?: KeptObject;
  /** Left out for a message that did not come by SMTP. */
  readonly arrival?: Arrival;
  /** Left out: no. */
  readonly captured?: boolean;
  /** Left out: no. */
  readonly sandbox?: boolean;
  /** Left out where there are none. */
  readonly refused?: readonly string[];
}

/** A message as received that is kept outside of the database, and written down there (`noteObject`). */
export interface KeptObject {
  readonly url: string;
  readonly sizeBytes: number;
}

/** How a message came in. */
export type Arrival = ValuesOf<typeof ARRIVAL>;

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

/** `over`: a limit of its key is reached; `suppressed`: these addresses are on the owner's suppression list. Nothing is stored. */
export type StoreOutcome =
  | { readonly kind: 'stored' }
  | { readonly kind: 'suppressed'; readonly addresses: readonly string[] }
  | { readonly kind: 'over'; readonly usage: KeyUsage }
  | IdempotencyOutcome;

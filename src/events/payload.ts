import type { Tag } from '../message/header/control-headers.ts';

/** What every event says of the message that it is about: facts of its row. */
export interface EmailFacts {
  readonly id: string;
  readonly userId: string | null;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly tags: readonly Tag[] | null;
  readonly createdAt: Date | string;
  /** The Message-ID that the client gave, without angle brackets. */
  readonly messageId?: string | null;
}

/** Who has the message, and under which name. */
export interface Provider {
  readonly transport: string;
  readonly messageId: string | null;
}

export interface PayloadParts {
  /** The recipients that the event is about. */
  readonly recipients: readonly string[];
  readonly provider?: Provider | undefined;
  readonly occurredAt?: Date | undefined;
  /** One member, named like the event: `{ bounce: { type, sub_type, message } }`. */
  readonly details?: object;
}

/** `email_events.payload`, which is the `data` of webhooks: JSON with names in snake_case. */
export interface EventPayload {
  readonly email_id: string;
  /** When the message was accepted, ISO 8601. */
  readonly created_at: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly recipients: readonly string[];
  readonly message_id?: string;
  readonly provider?: { readonly transport: string; readonly message_id: string | null };
  /** When it happened, as the provider tells, ISO 8601. */
  readonly occurred_at?: string;
}

export function buildPayload(email: EmailFacts, parts: PayloadParts): EventPayload {
  const { recipients, provider, occurredAt, details } = parts;
  return {
    email_id: email.id,
    created_at: new Date(email.createdAt).toISOString(),
    from: email.from,
    to: email.to,
    subject: email.subject,
    // Names come from clients: `__proto__` is one of them.
    tags: Object.fromEntries((email.tags ?? []).map(({ name, value }) => [name, value])),
    recipients,
    ...(email.messageId && { message_id: email.messageId }),
    ...(provider && { provider: { transport: provider.transport, message_id: provider.messageId } }),
    ...(occurredAt && { occurred_at: occurredAt.toISOString() }),
    ...details,
  };
}

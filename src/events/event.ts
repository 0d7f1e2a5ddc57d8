import type { Tag } from '../message/header/control-headers.ts';
import { newOrderedId } from '../platform/uuid.ts';
import { detailsOf, type EventType, type NewEvent } from '../store/event-types.ts';
import { type Occurrence, sourceId } from './ses/occurrences.ts';

/** The name of the transport whose events come back by notifications. */
export const SES = 'ses';

export interface SentDetails {
  readonly recipients: readonly string[];
  /** The transport that took the message, and the id that it gave. */
  readonly provider: Provider;
}

export interface FailedDetails {
  readonly recipients: readonly string[];
  /** A short, stable word or reply code. */
  readonly code: string;
  readonly message: string;
  readonly provider?: Provider;
}

export interface ClickDetails {
  readonly recipients: readonly string[];
  readonly link: string;
  readonly userAgent: string | null;
  readonly occurredAt?: Date;
  readonly provider?: Provider;
}

/** A transport took the message for these recipients. By SES, it is the same event as the `Send` that SES tells later. */
export function sentEvent(email: EmailFacts, details: SentDetails): NewEvent {
  const { transport, messageId } = details.provider;
  const source = transport === SES && messageId !== null ? sourceId(messageId, 'send') : null;
  return newEvent('sent', email, details, source);
}

/** The message will not reach these recipients: a refusal for good, or the end of all tries. */
export function failedEvent(email: EmailFacts, { code, message, ...details }: FailedDetails): NewEvent {
  return newEvent('failed', email, { ...details, details: detailsOf('failed', { code, message }) });
}

export interface SuppressedDetails {
  readonly recipients: readonly string[];
  /** Where they were left out, for people. */
  readonly message: string;
}

/** These recipients are on the owner's suppression list, and were not sent to. */
export function suppressedEvent(
  email: EmailFacts,
  { recipients, message }: SuppressedDetails,
  source: string | null = null,
): NewEvent {
  return newEvent('suppressed', email, { recipients, details: detailsOf('suppressed', { message }) }, source);
}

/** The client was refused these recipients at RCPT (`suppression: recipient`), and sent the message to the others. */
export function refusedEvent(email: EmailFacts, recipients: readonly string[]): NewEvent {
  const message = 'refused at RCPT TO: on the suppression list';
  return suppressedEvent(email, { recipients, message }, `relay:${email.id}:refused`);
}

export interface DelayedDetails {
  readonly recipients: readonly string[];
  readonly code: string;
  readonly message: string;
  /** The try that has failed; 0 for the first. */
  readonly try: number;
  /** null where a person has to decide first. */
  readonly nextTryAt: Date | null;
  /** Replaces the number of the try, where one event stands for several tries. */
  readonly name?: string;
}

/** A try has failed for these recipients, and there will be another, unless it is held. */
export function delayedEvent(email: EmailFacts, { recipients, ...why }: DelayedDetails): NewEvent {
  const { code, message, nextTryAt, try: nth, name = `${nth}` } = why;
  const delayed = { code, message, attempt: nth + 1, next_attempt_at: nextTryAt?.toISOString() ?? null };
  return newEvent(
    'delayed',
    email,
    { recipients, details: detailsOf('delayed', delayed) },
    `relay:${email.id}:delayed:${name}`,
  );
}

/** What a provider told of a message, or would have told. */
export function toldEvent(
  email: EmailFacts,
  { type, recipients, sourceId: source, occurredAt, details }: Occurrence,
  provider: Provider,
): NewEvent {
  return newEvent(type, email, { recipients, provider, ...(occurredAt && { occurredAt }), details }, source);
}

/** The pixel of the message was asked for. */
export function openedEvent(email: EmailFacts, { userAgent, ...details }: Omit<ClickDetails, 'link'>): NewEvent {
  return newEvent('opened', email, { ...details, details: detailsOf('opened', { user_agent: userAgent }) });
}

/** A link of the message was followed. */
export function clickedEvent(email: EmailFacts, { link, userAgent, ...details }: ClickDetails): NewEvent {
  return newEvent('clicked', email, { ...details, details: detailsOf('clicked', { link, user_agent: userAgent }) });
}

/** An event about one message, ready to be written. */
function newEvent(type: EventType, email: EmailFacts, parts: PayloadParts, source: string | null = null): NewEvent {
  return {
    id: newOrderedId(),
    emailId: email.id,
    userId: email.userId,
    type,
    sourceId: source,
    payload: buildPayload(email, parts),
    ...(parts.occurredAt && { occurredAt: parts.occurredAt }),
  };
}

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
  /** Its key was in sandbox. Left out: no. */
  readonly sandbox?: boolean;
}

/** Who has the message, and under which name. */
export interface Provider {
  readonly transport: string;
  readonly messageId: string | null;
}

interface PayloadParts {
  /** The recipients that the event is about. */
  readonly recipients: readonly string[];
  readonly provider?: Provider | undefined;
  readonly occurredAt?: Date | undefined;
  /** As `detailsOf` makes them: `{ bounce: { type, sub_type, message } }`. */
  readonly details?: object;
}

/** `email_events.payload`, which is the `data` of webhooks: JSON with names in snake_case. */
interface EventPayload {
  readonly email_id: string;
  /** When the message was accepted, ISO 8601. */
  readonly created_at: string;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly recipients: readonly string[];
  readonly message_id?: string;
  /** Nothing has gone out: the key was in sandbox. */
  readonly sandbox?: true;
  readonly provider?: { readonly transport: string; readonly message_id: string | null };
  /** When it happened, as the provider tells, ISO 8601. */
  readonly occurred_at?: string;
}

function buildPayload(email: EmailFacts, parts: PayloadParts): EventPayload {
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
    ...(email.sandbox && { sandbox: true }),
    ...(provider && { provider: { transport: provider.transport, message_id: provider.messageId } }),
    ...(occurredAt && { occurred_at: occurredAt.toISOString() }),
    ...details,
  };
}

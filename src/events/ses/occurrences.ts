import { createHash } from 'node:crypto';
import { comparableAddress } from '../../message/addresses/address.ts';
import type { EventType } from '../../store/events/events.ts';
import { addressesAt, type JsonObject, objectAt, recipientsAt, textAt, timeAt } from './reading.ts';

/** One thing that happened to a message, for one recipient where SES says for which. */
export interface Occurrence {
  readonly recipients: readonly string[];
  /** The same for the same occurrence, whichever way it is told. */
  readonly sourceId: string;
  readonly occurredAt: Date | null;
  /** The member of the payload that is named like the event. */
  readonly details: object;
  /** Why these recipients must not be sent to again; null where they may. */
  readonly suppression: 'bounced' | 'complained' | null;
}

/** A record of SES about one message. */
export interface MailRecord {
  readonly messageId: string;
  readonly destination: readonly string[];
  readonly record: JsonObject;
}

export interface Reader {
  readonly type: EventType;
  /** @throws InvalidNotification */
  readonly read: (mail: MailRecord) => readonly Occurrence[];
}

const MAX_LINK = 4_096;
/** Reports of receivers that are no wish of the recipient (RFC 5965 section 7.3, RFC 6591 section 3.1). */
const NO_COMPLAINT = new Set(['not-spam', 'auth-failure']);

/** By `eventType` or `notificationType`, in lower case and without blanks. `Subscription` is not about delivery. */
export const READERS: ReadonlyMap<string, Reader> = new Map([
  ['send', { type: 'sent', read: readSend }],
  ['delivery', { type: 'delivered', read: readDelivery }],
  ['bounce', { type: 'bounced', read: readBounce }],
  ['complaint', { type: 'complained', read: readComplaint }],
  ['deliverydelay', { type: 'delivery_delayed', read: readDelay }],
  ['open', { type: 'opened', read: readOpen }],
  ['click', { type: 'clicked', read: readClick }],
  ['reject', { type: 'failed', read: readReject }],
  ['renderingfailure', { type: 'failed', read: readRenderingFailure }],
]);

function readSend({ messageId, destination, record }: MailRecord): Occurrence[] {
  const occurredAt = timeAt(objectAt(record, 'mail'), 'timestamp');
  const id = sourceId(messageId, 'send');
  return [{ recipients: destination, sourceId: id, occurredAt, details: {}, suppression: null }];
}

function readDelivery({ messageId, record }: MailRecord): Occurrence[] {
  const delivery = objectAt(record, 'delivery');
  const occurredAt = timeAt(delivery, 'timestamp');
  const details = { delivered: { smtp_response: textAt(delivery, 'smtpResponse') } };
  return addressesAt(delivery, 'recipients').map(recipient => ({
    recipients: [recipient],
    sourceId: sourceId(messageId, 'delivery', recipientPart(recipient)),
    occurredAt,
    details,
    suppression: null,
  }));
}

/** The same recipient may bounce for a while (`Transient`) and then for good: that is two events. */
function readBounce({ messageId, record }: MailRecord): Occurrence[] {
  const bounce = objectAt(record, 'bounce');
  const type = textAt(bounce, 'bounceType') ?? 'Undetermined';
  const subType = textAt(bounce, 'bounceSubType');
  // Who has left one of the owner's contact lists still wants the owner's other mail.
  const hard = type === 'Permanent' && subType !== 'UnsubscribedRecipient';
  return recipientsAt(bounce, 'bouncedRecipients').map(({ address, ...recipient }) => ({
    recipients: [address],
    sourceId: sourceId(messageId, 'bounce', type, recipientPart(address)),
    occurredAt: timeAt(bounce, 'timestamp'),
    details: { bounce: { type, sub_type: subType, message: textAt(recipient, 'diagnosticCode') } },
    suppression: hard ? 'bounced' : null,
  }));
}

/**
 * Receivers often hide who complained. SES then names all recipients at that receiver, and each of them counts: sending on
 * to one who complained is worse than leaving one out who did not.
 */
function readComplaint({ messageId, record }: MailRecord): Occurrence[] {
  const complaint = objectAt(record, 'complaint');
  const type = textAt(complaint, 'complaintFeedbackType');
  if (type !== null && NO_COMPLAINT.has(type)) return [];
  const details = { complaint: { type, sub_type: textAt(complaint, 'complaintSubType') } };
  return recipientsAt(complaint, 'complainedRecipients').map(({ address }) => ({
    recipients: [address],
    sourceId: sourceId(messageId, 'complaint', recipientPart(address)),
    occurredAt: timeAt(complaint, 'timestamp'),
    details,
    suppression: 'complained',
  }));
}

/** Told again and again while the delay lasts, each time with another timestamp. */
function readDelay({ messageId, record }: MailRecord): Occurrence[] {
  const delay = objectAt(record, 'deliveryDelay');
  const type = textAt(delay, 'delayType');
  const timestamp = textAt(delay, 'timestamp') ?? '';
  return recipientsAt(delay, 'delayedRecipients').map(({ address, ...recipient }) => ({
    recipients: [address],
    sourceId: sourceId(messageId, 'delay', timestamp, recipientPart(address)),
    occurredAt: timeAt(delay, 'timestamp'),
    details: { delivery_delayed: { type, message: textAt(recipient, 'diagnosticCode') } },
    suppression: null,
  }));
}

/** SES cannot tell which recipient it was; its address on the network is not kept. */
function readOpen({ messageId, destination, record }: MailRecord): Occurrence[] {
  const open = objectAt(record, 'open');
  const userAgent = textAt(open, 'userAgent');
  const details = { open: { user_agent: userAgent } };
  return [byHand({ messageId, destination, kind: 'open', what: open, parts: [userAgent ?? ''], details })];
}

function readClick({ messageId, destination, record }: MailRecord): Occurrence[] {
  const click = objectAt(record, 'click');
  const link = textAt(click, 'link', MAX_LINK);
  const userAgent = textAt(click, 'userAgent');
  const details = { click: { link, user_agent: userAgent } };
  const parts = [link ?? '', userAgent ?? ''];
  return [byHand({ messageId, destination, kind: 'click', what: click, parts, details })];
}

interface ByHand extends Omit<MailRecord, 'record'> {
  readonly kind: string;
  readonly what: JsonObject;
  readonly parts: readonly string[];
  readonly details: object;
}

/** What a recipient did; told apart by time, network address and what was done. */
function byHand({ messageId, destination, kind, what, parts, details }: ByHand): Occurrence {
  const who = [textAt(what, 'timestamp') ?? '', textAt(what, 'ipAddress') ?? ''];
  return {
    recipients: destination,
    sourceId: sourceId(messageId, kind, ...who, ...parts),
    occurredAt: timeAt(what, 'timestamp'),
    details,
    suppression: null,
  };
}

function readReject(mail: MailRecord): Occurrence[] {
  const reject = objectAt(mail.record, 'reject');
  return [failure(mail, { kind: 'reject', code: 'Rejected', message: textAt(reject, 'reason') })];
}

function readRenderingFailure(mail: MailRecord): Occurrence[] {
  const { record } = mail;
  const what = objectAt(record, 'failure' in record ? 'failure' : 'renderingFailure');
  return [failure(mail, { kind: 'rendering', code: 'RenderingFailure', message: textAt(what, 'errorMessage') })];
}

function failure(
  { messageId, destination }: MailRecord,
  { kind, code, message }: { readonly kind: string; readonly code: string; readonly message: string | null },
): Occurrence {
  return {
    recipients: destination,
    sourceId: sourceId(messageId, kind),
    occurredAt: null,
    details: { failed: { code, message: message ?? 'SES took the message, and then did not send it' } },
    suppression: null,
  };
}

/**
 * Names an occurrence by what it says, so that the same one is known again however it came in: by SNS, SQS or EventBridge,
 * by event publishing or by the identity's own notifications, and how often. Ids of SNS and EventBridge would differ.
 *
 * @param kind a few lower-case letters
 * @param parts what tells two occurrences of that kind apart; hashed, since they are long, or addresses
 * @returns at most 255 characters
 */
export function sourceId(messageId: string, kind: string, ...parts: readonly string[]): string {
  const base = `ses:${messageId}:${kind}`;
  return parts.length === 0 ? base : `${base}:${hash(parts)}`;
}

/** For `sourceId`: a recipient, who may be written in another case next time. */
export function recipientPart(address: string): string {
  return comparableAddress(address);
}

function hash(parts: readonly string[]): string {
  return createHash('sha256').update(parts.join('\0')).digest('base64url').slice(0, 22);
}

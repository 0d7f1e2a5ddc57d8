import { createHash } from 'node:crypto';
import { comparableAddress } from '../../message/addresses/address.ts';
import { type DetailsOf, detailsOf, type EventType } from '../../store/event-types.ts';
import { addressesAt, type JsonObject, objectAt, recipientsAt, textAt, timeAt } from './reading.ts';

/** One thing that happened to a message, for one recipient where SES says for which. */
interface Told<Details extends object> {
  readonly recipients: readonly string[];
  /** The same for the same occurrence, whichever way it is told. */
  readonly sourceId: string;
  readonly occurredAt: Date | null;
  readonly details: Details;
  /** Why these recipients must not be sent to again; null where they may. */
  readonly suppression: 'bounced' | 'complained' | null;
}

/** The same with its type, and with its details as its payload has them. */
export interface Occurrence extends Told<object> {
  readonly type: EventType;
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
  ['send', reader('sent', readSend)],
  ['delivery', reader('delivered', readDelivery)],
  ['bounce', reader('bounced', readBounce)],
  ['complaint', reader('complained', readComplaint)],
  ['deliverydelay', reader('delivery_delayed', readDelay)],
  ['open', reader('opened', readOpen)],
  ['click', reader('clicked', readClick)],
  ['reject', reader('failed', readReject)],
  ['renderingfailure', reader('failed', readRenderingFailure)],
]);

function reader<T extends EventType>(type: T, read: (mail: MailRecord) => readonly Told<DetailsOf<T>>[]): Reader {
  const complete = (told: Told<DetailsOf<T>>) => ({ ...told, type, details: detailsOf(type, told.details) });
  return { type, read: mail => read(mail).map(complete) };
}

function readSend({ messageId, destination, record }: MailRecord): Told<DetailsOf<'sent'>>[] {
  const occurredAt = timeAt(objectAt(record, 'mail'), 'timestamp');
  const id = sourceId(messageId, 'send');
  return [{ recipients: destination, sourceId: id, occurredAt, details: {}, suppression: null }];
}

function readDelivery({ messageId, record }: MailRecord): Told<DetailsOf<'delivered'>>[] {
  const delivery = objectAt(record, 'delivery');
  const occurredAt = timeAt(delivery, 'timestamp');
  const details = { smtp_response: textAt(delivery, 'smtpResponse') };
  return addressesAt(delivery, 'recipients').map(recipient => ({
    recipients: [recipient],
    sourceId: sourceId(messageId, 'delivery', recipientPart(recipient)),
    occurredAt,
    details,
    suppression: null,
  }));
}

/** The same recipient may bounce for a while (`Transient`) and then for good: that is two events. */
function readBounce({ messageId, record }: MailRecord): Told<DetailsOf<'bounced'>>[] {
  const bounce = objectAt(record, 'bounce');
  const type = textAt(bounce, 'bounceType') ?? 'Undetermined';
  const subType = textAt(bounce, 'bounceSubType');
  // A recipient who left one of the owner's contact lists still wants the owner's other mail.
  const hard = type === 'Permanent' && subType !== 'UnsubscribedRecipient';
  return recipientsAt(bounce, 'bouncedRecipients').map(({ address, ...recipient }) => ({
    recipients: [address],
    sourceId: sourceId(messageId, 'bounce', type, recipientPart(address)),
    occurredAt: timeAt(bounce, 'timestamp'),
    details: { type, sub_type: subType, message: textAt(recipient, 'diagnosticCode') },
    suppression: hard ? 'bounced' : null,
  }));
}

/**
 * Receivers often hide who complained. SES then names all recipients at that receiver, and each of them counts: sending on
 * to one who complained is worse than leaving one out who did not.
 */
function readComplaint({ messageId, record }: MailRecord): Told<DetailsOf<'complained'>>[] {
  const complaint = objectAt(record, 'complaint');
  const type = textAt(complaint, 'complaintFeedbackType');
  if (type !== null && NO_COMPLAINT.has(type)) return [];
  const details = { type, sub_type: textAt(complaint, 'complaintSubType') };
  return recipientsAt(complaint, 'complainedRecipients').map(({ address }) => ({
    recipients: [address],
    sourceId: sourceId(messageId, 'complaint', recipientPart(address)),
    occurredAt: timeAt(complaint, 'timestamp'),
    details,
    suppression: 'complained',
  }));
}

/** Told again and again while the delay lasts, each time with another timestamp. */
function readDelay({ messageId, record }: MailRecord): Told<DetailsOf<'delivery_delayed'>>[] {
  const delay = objectAt(record, 'deliveryDelay');
  const type = textAt(delay, 'delayType');
  const timestamp = textAt(delay, 'timestamp') ?? '';
  return recipientsAt(delay, 'delayedRecipients').map(({ address, ...recipient }) => ({
    recipients: [address],
    sourceId: sourceId(messageId, 'delay', timestamp, recipientPart(address)),
    occurredAt: timeAt(delay, 'timestamp'),
    details: { type, message: textAt(recipient, 'diagnosticCode') },
    suppression: null,
  }));
}

/** SES cannot tell which recipient it was; its address on the network is not kept. */
function readOpen({ messageId, destination, record }: MailRecord): Told<DetailsOf<'opened'>>[] {
  const open = objectAt(record, 'open');
  const userAgent = textAt(open, 'userAgent');
  const details = { user_agent: userAgent };
  return [byHand({ messageId, destination, kind: 'open', what: open, parts: [userAgent ?? ''], details })];
}

function readClick({ messageId, destination, record }: MailRecord): Told<DetailsOf<'clicked'>>[] {
  const click = objectAt(record, 'click');
  const link = textAt(click, 'link', MAX_LINK);
  const userAgent = textAt(click, 'userAgent');
  const details = { link, user_agent: userAgent };
  const parts = [link ?? '', userAgent ?? ''];
  return [byHand({ messageId, destination, kind: 'click', what: click, parts, details })];
}

interface ByHand<Details extends object> extends Omit<MailRecord, 'record'> {
  readonly kind: string;
  readonly what: JsonObject;
  readonly parts: readonly string[];
  readonly details: Details;
}

/** What a recipient did; told apart by time, network address and what was done. */
function byHand<Details extends object>(did: ByHand<Details>): Told<Details> {
  const { messageId, destination, kind, what, parts, details } = did;
  const who = [textAt(what, 'timestamp') ?? '', textAt(what, 'ipAddress') ?? ''];
  return {
    recipients: destination,
    sourceId: sourceId(messageId, kind, ...who, ...parts),
    occurredAt: timeAt(what, 'timestamp'),
    details,
    suppression: null,
  };
}

function readReject(mail: MailRecord): Told<DetailsOf<'failed'>>[] {
  const reject = objectAt(mail.record, 'reject');
  return [failure(mail, { kind: 'reject', code: 'Rejected', message: textAt(reject, 'reason') })];
}

function readRenderingFailure(mail: MailRecord): Told<DetailsOf<'failed'>>[] {
  const { record } = mail;
  const what = objectAt(record, 'failure' in record ? 'failure' : 'renderingFailure');
  return [failure(mail, { kind: 'rendering', code: 'RenderingFailure', message: textAt(what, 'errorMessage') })];
}

function failure(
  { messageId, destination }: MailRecord,
  { kind, code, message }: { readonly kind: string; readonly code: string; readonly message: string | null },
): Told<DetailsOf<'failed'>> {
  return {
    recipients: destination,
    sourceId: sourceId(messageId, kind),
    occurredAt: null,
    details: { code, message: message ?? 'SES took the message, and then did not send it' },
    suppression: null,
  };
}

/**
 * Names an occurrence by its content, so that the same one is known again whichever way it came in: by SNS, SQS or EventBridge,
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

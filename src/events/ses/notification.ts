import { isUuid } from '../../platform/uuid.ts';
import { type Occurrence, READERS } from './occurrences.ts';
import { addressesAt, InvalidNotification, isObject, type JsonObject, objectAt, parseJson } from './reading.ts';

/** The tag that carries our id of a message through SES, so that events find it also where its outcome was unknown. */
export const EMAIL_ID_TAG = 'smtp-relay-email-id';

/** What SES tells of one message: one occurrence for each recipient that it is about. */
export interface SesNotification {
  /** The id that SES gave. */
  readonly messageId: string;
  /** Ours, where the message carried it; null for messages of others, and where SES tells no tags. */
  readonly emailId: string | null;
  /** Those of the call to SES that had this id; empty where SES does not say. */
  readonly destination: readonly string[];
  readonly occurrences: readonly Occurrence[];
}

const MESSAGE_ID = /^[\w.@+=-]{1,160}$/;

/**
 * Reads a notification of SES, in each shape and wrapping in which it comes: event publishing (`eventType`), the older
 * notifications of an identity (`notificationType`); as a record, in SNS's JSON, or in EventBridge's (SES developer guide,
 * "Contents of event data", "Contents of notifications", "EventBridge"). What it uses it wants to be right; the rest may be
 * anything.
 *
 * @returns null for notifications of no interest: greetings of a set-up, subscriptions, kinds that SES may add one day
 * @throws InvalidNotification
 */
export function readSesNotification(text: string): SesNotification | null {
  const record = unwrap(text);
  if (record === null) return null;
  const kind = record['eventType'] ?? record['notificationType'];
  if (typeof kind !== 'string') throw new InvalidNotification('it is no notification of SES: eventType is missing');
  // SES writes `Rendering Failure` in some places and `RenderingFailure` in others.
  const reader = READERS.get(kind.replaceAll(' ', '').toLowerCase());
  if (reader === undefined) return null;
  const mail = objectAt(record, 'mail');
  const { messageId } = mail;
  if (typeof messageId !== 'string' || !MESSAGE_ID.test(messageId)) {
    throw new InvalidNotification('mail.messageId is not an id of SES');
  }
  const destination = addressesAt(mail, 'destination');
  const occurrences = reader.read({ messageId, destination, record });
  return { messageId, emailId: emailIdOf(mail), destination, occurrences };
}

/** Null unless there is exactly one: clients choose tags of their own, and a second value would be one of those. */
function emailIdOf(mail: JsonObject): string | null {
  const tags = mail['tags'];
  const values = isObject(tags) ? tags[EMAIL_ID_TAG] : undefined;
  if (!Array.isArray(values) || values.length !== 1) return null;
  const [value] = values;
  return typeof value === 'string' && isUuid(value) ? value.toLowerCase() : null;
}

/** SNS around EventBridge around a record is the deepest that can be set up. */
const MAX_LAYERS = 3;
/** What SES and SNS publish while a topic is set up: a sentence about success, no record. */
const SET_UP = /^Successfully validated SNS topic for Amazon SES/;

/**
 * Unwraps the record of SES. It comes bare (SNS with raw message delivery, or the message of an SNS notification), in the JSON of
 * an SNS notification (SQS subscriptions), or in an event of EventBridge.
 *
 * @returns null for what is neither a record of a message nor a mistake: the greetings of a set-up, advice of SES
 * @throws InvalidNotification
 */
export function unwrap(text: string): JsonObject | null {
  let carried: unknown = text;
  for (let layer = 0; layer <= MAX_LAYERS; layer += 1) {
    if (typeof carried === 'string') {
      if (SET_UP.test(carried)) return null;
      carried = parseJson(carried, layer === 0 ? 'the notification' : 'its message');
    }
    if (!isObject(carried)) throw new InvalidNotification('the notification is not an object');
    const inner = contentOf(carried);
    if (inner === undefined) return isSetUp(carried) ? null : carried;
    carried = inner;
  }
  throw new InvalidNotification('the notification is wrapped too often');
}

/** What a carrier carries; undefined where this is none. */
function contentOf(carrier: JsonObject): unknown {
  if ('TopicArn' in carrier && typeof carrier['Type'] === 'string') {
    if (carrier['Type'] !== 'Notification') throw new InvalidNotification(`SNS sent a ${carrier['Type'].slice(0, 40)}`);
    return carrier['Message'];
  }
  if ('detail-type' in carrier) {
    if (carrier['source'] !== 'aws.ses') throw new InvalidNotification('EventBridge sent an event of another source');
    return carrier['detail'];
  }
  return undefined;
}

function isSetUp(record: JsonObject): boolean {
  // Events of SES about the account, such as advice, have no message in them.
  return (
    record['notificationType'] === 'AmazonSnsSubscriptionSucceeded' || (!isAboutMail(record) && 'version' in record)
  );
}

function isAboutMail(record: JsonObject): boolean {
  return 'mail' in record || 'eventType' in record || 'notificationType' in record;
}

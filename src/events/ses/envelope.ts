import { InvalidNotification, isObject, type JsonObject, parseJson } from './reading.ts';

/** SNS around EventBridge around a record is the deepest that can be set up. */
const MAX_LAYERS = 3;
/** What SES and SNS publish while a topic is set up: a sentence about success, no record. */
const SET_UP = /^Successfully validated SNS topic for Amazon SES/;

/**
 * Takes the record of SES out of what it was carried in: nothing at all (SNS with raw message delivery, or the message of
 * an SNS notification), the JSON of an SNS notification (SQS subscriptions), or an event of EventBridge.
 *
 * @returns null for what is no record of a message, and no mistake: the greetings of a set-up, advice of SES
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

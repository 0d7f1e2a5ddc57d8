import { type KeyObject, verify } from 'node:crypto';

/** A message as SNS posts it to an HTTPS endpoint (SNS developer guide, "Parsing message formats"). */
export interface SnsMessage {
  readonly type: 'Notification' | 'SubscriptionConfirmation' | 'UnsubscribeConfirmation';
  readonly messageId: string;
  readonly topicArn: string;
  readonly message: string;
  readonly timestamp: string;
  readonly subject: string | null;
  /** Only of confirmations. */
  readonly token: string | null;
  readonly subscribeUrl: string | null;
  readonly signature: string;
  readonly signatureVersion: string;
  readonly signingCertUrl: string;
}

const TYPES = ['Notification', 'SubscriptionConfirmation', 'UnsubscribeConfirmation'] as const;

/** Reads the JSON of a request; null where it is none that SNS writes. */
export function readSnsMessage(body: string): SnsMessage | null {
  const json = parseObject(body);
  if (json === null) return null;
  const text = (name: string): string | null => {
    const value = json[name];
    return typeof value === 'string' ? value : null;
  };
  const type = TYPES.find(known => known === json['Type']);
  const [messageId, topicArn, message, timestamp] = ['MessageId', 'TopicArn', 'Message', 'Timestamp'].map(text);
  const [signature, signatureVersion, signingCertUrl] = ['Signature', 'SignatureVersion', 'SigningCertURL'].map(text);
  if (!type || !messageId || !topicArn || message == null || !timestamp) return null;
  if (!signature || !signatureVersion || !signingCertUrl) return null;
  const [subject, token, subscribeUrl] = ['Subject', 'Token', 'SubscribeURL'].map(text) as (string | null)[];
  if (type !== 'Notification' && !(token && subscribeUrl)) return null;
  return {
    ...{ type, messageId, topicArn, message, timestamp, signature, signatureVersion, signingCertUrl },
    subject: subject ?? null,
    token: token ?? null,
    subscribeUrl: subscribeUrl ?? null,
  };
}

/** What is signed: names and values, a line each, in this order (SNS developer guide, "Verifying signatures"). */
export function signedText(message: SnsMessage): string {
  const { type, messageId, topicArn, timestamp, subject, token, subscribeUrl } = message;
  const fields: readonly (readonly [name: string, value: string | null])[] =
    type === 'Notification'
      ? [
          ['Message', message.message],
          ['MessageId', messageId],
          ['Subject', subject],
          ['Timestamp', timestamp],
          ['TopicArn', topicArn],
          ['Type', type],
        ]
      : [
          ['Message', message.message],
          ['MessageId', messageId],
          ['SubscribeURL', subscribeUrl],
          ['Timestamp', timestamp],
          ['Token', token],
          ['TopicArn', topicArn],
          ['Type', type],
        ];
  return fields.map(([name, value]) => (value === null ? '' : `${name}\n${value}\n`)).join('');
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** By SignatureVersion (SNS developer guide, "Verifying the signatures of Amazon SNS messages"). */
const HASHES: ReadonlyMap<string, string> = new Map([
  ['1', 'sha1'],
  ['2', 'sha256'],
]);

/** Whether the message is signed with this key: RSA, PKCS #1 v1.5, SHA-1 or SHA-256. */
export function isSigned(message: SnsMessage, key: KeyObject): boolean {
  const hash = HASHES.get(message.signatureVersion);
  if (hash === undefined || key.asymmetricKeyType !== 'rsa') return false;
  return verify(hash, Buffer.from(signedText(message)), key, Buffer.from(message.signature, 'base64'));
}

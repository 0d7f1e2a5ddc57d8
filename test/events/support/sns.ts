import 'reflect-metadata';
import { createSign, KeyObject, webcrypto } from 'node:crypto';
import { X509CertificateGenerator } from '@peculiar/x509';

export const TOPIC = 'arn:aws:sns:us-east-1:123456789012:ses-events';
export const CERT_URL = 'https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem';
export const SUBSCRIBE_URL = `https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=${TOPIC}&Token=t0ken`;

const ALGORITHM = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
} as const;
const DAY = 86_400_000;

/** The fields that are signed, in their order, as the SNS developer guide lists them. */
const SIGNED = {
  Notification: ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'],
  SubscriptionConfirmation: ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'],
  UnsubscribeConfirmation: ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'],
} as const;

type Fields = Readonly<Record<string, string | undefined>>;

/** Somebody who signs as SNS does: a key of its own, and the certificate for it. */
export interface Signer {
  /** PEM. */
  readonly certificate: string;
  /** The body that SNS would post. What `fields` names `undefined` is left out. */
  sign(fields?: Fields, version?: '1' | '2'): string;
}

export async function makeSigner(
  validity: { readonly notBefore?: Date; readonly notAfter?: Date } = {},
): Promise<Signer> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=sns.us-east-1.amazonaws.com',
    notBefore: validity.notBefore ?? new Date(Date.now() - DAY),
    notAfter: validity.notAfter ?? new Date(Date.now() + DAY),
    keys,
    signingAlgorithm: ALGORITHM,
  });
  const privateKey = KeyObject.from(keys.privateKey);
  return {
    certificate: certificate.toString('pem'),
    sign(fields = {}, version = '1') {
      const body: Fields = { ...notification(), ...fields };
      const names = SIGNED[(body['Type'] ?? '') as keyof typeof SIGNED] ?? SIGNED.Notification;
      const lines = names.map(name => (body[name] === undefined ? '' : `${name}\n${body[name]}\n`));
      const signer = createSign(version === '1' ? 'RSA-SHA1' : 'RSA-SHA256');
      const Signature = signer.update(lines.join('')).sign(privateKey, 'base64');
      return JSON.stringify({ ...body, SignatureVersion: version, Signature, SigningCertURL: CERT_URL });
    },
  };
}

function notification(): Fields {
  return {
    Type: 'Notification',
    MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324',
    TopicArn: TOPIC,
    Subject: 'Amazon SES Email Event Notification',
    Message: '{}',
    Timestamp: '2026-01-02T03:04:05.678Z',
  };
}

export function confirmation(fields: Fields = {}): Fields {
  return {
    Type: 'SubscriptionConfirmation',
    Message: 'You have chosen to subscribe',
    Subject: undefined,
    Token: 't0ken',
    SubscribeURL: SUBSCRIBE_URL,
    ...fields,
  };
}

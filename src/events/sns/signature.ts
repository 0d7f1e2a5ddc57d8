import { type KeyObject, verify } from 'node:crypto';
import { type SnsMessage, signedText } from './message.ts';

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

import { createHash } from 'node:crypto';
import { comparableAddress } from '../../message/addresses/address.ts';

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

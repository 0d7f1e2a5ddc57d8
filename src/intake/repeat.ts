import { allAddresses } from '../message/addresses/recipients.ts';
import { sha256 } from '../message/bytes.ts';
import type { MessageParts } from '../message/mime/parts.ts';
import { policyRefusal, type Refusal } from '../message/refusal.ts';
import { type BodyText, bytesOf } from '../message/text/body-text.ts';
import type { IdempotencyClaim } from '../store/messages/idempotency.ts';
import type { Envelope, ReadHeader } from './submission.ts';

/**
 * What tells a message that is sent again under its idempotency key from another one. Date, Message-ID and MIME
 * boundaries do not count: a client that tries again writes them anew.
 *
 * @returns null where the client gave no key
 */
export async function idempotencyClaim(
  header: ReadHeader,
  envelope: Envelope,
  parts: MessageParts,
): Promise<IdempotencyClaim | null> {
  const key = header.control.idempotencyKey;
  if (key === null) return null;
  const attachments = parts.attachments.map(({ filename, contentType, sha256 }) => [filename, contentType, sha256]);
  const bodies = [await bodyHash(parts.text), await bodyHash(parts.html)];
  return {
    key,
    envelopeHash: await digest([envelope.reversePath, [...allAddresses(header.recipients)].sort()]),
    contentHash: await digest([header.sender.from, header.subject, ...bodies, attachments]),
  };
}

export function idempotencyConflict(): Refusal {
  const text = 'This idempotency key was used for another message within 24 hours: use a new key';
  return policyRefusal('idempotency_conflict', text);
}

/** The same, whichever way the body is in memory. */
async function bodyHash(text: BodyText | null): Promise<string | null> {
  return text === null ? null : (await sha256(bytesOf(text))).toString('hex');
}

function digest(value: unknown): Promise<Buffer> {
  return sha256(Buffer.from(JSON.stringify(value)));
}

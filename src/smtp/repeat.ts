import { createHash } from 'node:crypto';
import type { MessageParts } from '../message/parts.ts';
import { allAddresses } from '../message/recipients.ts';
import { policyRefusal, type Refusal } from '../message/refusal.ts';
import { subjectOf } from '../message/row-fields.ts';
import type { IdempotencyClaim } from '../store/idempotency.ts';
import type { Envelope, ReadHeader } from './submission.ts';

/**
 * What tells a message that is sent again under its idempotency key from another one. Date, Message-ID and MIME
 * boundaries do not count: a client that tries again writes them anew.
 *
 * @returns null where the client gave no key
 */
export function idempotencyClaim(header: ReadHeader, envelope: Envelope, parts: MessageParts): IdempotencyClaim | null {
  const key = header.control.idempotencyKey;
  if (key === null) return null;
  const attachments = parts.attachments.map(({ filename, contentType, sha256 }) => [filename, contentType, sha256]);
  return {
    key,
    envelopeHash: digest([envelope.reversePath, [...allAddresses(header.recipients)].sort()]),
    contentHash: digest([header.sender.from, subjectOf(header.fields), parts.text, parts.html, attachments]),
  };
}

export function idempotencyConflict(): Refusal {
  const text = 'This idempotency key was used for another message within 24 hours: use a new key';
  return policyRefusal('idempotency_conflict', text);
}

function digest(value: unknown): Buffer {
  return createHash('sha256').update(JSON.stringify(value)).digest();
}

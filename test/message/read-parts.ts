import assert from 'node:assert/strict';
import { type MessageParts, type PartsOptions, readParts } from '../../src/message/mime/parts.ts';
import { type BodyText, bytesOf } from '../../src/message/text/body-text.ts';

export const PARTS_OPTIONS: PartsOptions = {
  mime: { depth: 100, parts: 1_000, headerBytes: 1_048_576 },
  attachmentBytes: 41_943_040,
  contents: true,
  hashes: false,
  breakLines: false,
};

/** An entry of `emails.attachments` with its content decoded. */
export interface Attachment {
  readonly filename: string;
  readonly content: Buffer;
  readonly content_type: string;
  readonly content_id: string | null;
}

export interface ReadMessage {
  readonly text: string | null;
  readonly html: string | null;
  readonly attachments: Attachment[];
}

/** Reads a message as the opensend pipeline does. */
export async function read(raw: Buffer, options: Partial<PartsOptions> = {}): Promise<ReadMessage> {
  const parts = await readParts(raw, { ...PARTS_OPTIONS, ...options });
  return { text: stringOf(parts.text), html: stringOf(parts.html), attachments: attachmentsOf(parts) };
}

/** A body, whichever way it is in memory. */
export function stringOf(text: BodyText | null): string | null {
  return text === null ? null : bytesOf(text).toString();
}

export function attachmentsOf(parts: Encoded): Attachment[] {
  return rowAttachmentsOf(parts).map(entry => ({ ...entry, content: Buffer.from(entry.content, 'base64') }));
}

type Encoded = Pick<MessageParts, 'attachmentsJson' | 'contentApart'>;

/** As the row has them. */
export function rowAttachmentsOf({ attachmentsJson, contentApart }: Encoded) {
  const json = attachmentsJson ? Buffer.from(attachmentsJson).toString() : '[]';
  const entries = JSON.parse(json) as (Omit<Attachment, 'content'> & { content: string })[];
  if (contentApart === undefined) return entries;
  const { index, content } = contentApart;
  assert.equal(entries[index]?.content, '', 'it is in one place only');
  return entries.with(index, {
    ...(entries[index] as (typeof entries)[number]),
    content: Buffer.concat(content).toString(),
  });
}

import type { HeaderField } from './header-fields.ts';
import { type MessageParts, type PartsOptions, readParts } from './parts.ts';
import { readSinglePart } from './single-part.ts';

/** Reads bodies and attachments (see `readParts`), the quick way where there is one. @param fields its header */
export async function readMessage(
  raw: Buffer,
  fields: readonly HeaderField[],
  options: PartsOptions,
): Promise<MessageParts> {
  return (await readSinglePart(raw, fields)) ?? readParts(raw, options);
}

import type { HeaderField } from '../header/fields.ts';
import { measureMending } from '../mending/mend.ts';
import { type MessageParts, type PartsOptions, readParts } from './parts.ts';
import { readSinglePart } from './single-part.ts';

/**
 * Reads bodies and attachments (see `readParts`), the quick way where there is one, and finds out how the message is mended where
 * it is sent as it was received.
 *
 * @param fields its header
 */
export async function readMessage(
  raw: Buffer,
  fields: readonly HeaderField[],
  options: PartsOptions,
): Promise<MessageParts> {
  const parts = (await readSinglePart(raw, fields)) ?? (await readParts(raw, options));
  const { contents, longLines: lines = false, unsigned = false } = options;
  const { mendable = 0, emptyMultiparts = 0 } = parts.contentFields;
  const types = !contents && mendable + emptyMultiparts > 0;
  return lines || types ? { ...parts, mending: measureMending(raw, { lines, types: true, unsigned }) } : parts;
}

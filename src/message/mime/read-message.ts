import libmime from 'libmime';
import { type MessageBytes, wholeOf } from '../bytes.ts';
import { bodyOffset, fieldsNamed, firstValue, type HeaderField } from '../header/fields.ts';
import { measureMending } from '../mending/mend.ts';
import { type BodyText, LARGE_TEXT, readBodyText, readSmallText } from '../text/body-text.ts';
import type { TextKind } from '../text/charset.ts';
import { readContentFields } from './content-fields.ts';
import { decodeQuotedPrintable } from './decoders.ts';
import { type MessageParts, type PartsOptions, readParts } from './parts.ts';

/**
 * Reads bodies and attachments (see `readParts`), by the quick way where it can. For a message that is sent as it was received, it
 * also finds out how it is mended.
 *
 * @param fields its header
 */
export async function readMessage(
  raw: MessageBytes,
  fields: readonly HeaderField[],
  options: PartsOptions,
): Promise<MessageParts> {
  const parts = (await readSinglePart(raw, fields)) ?? (await readParts(raw, options));
  const { contents, longLines: lines = false, unsigned = false } = options;
  const { mendable = 0, emptyMultiparts = 0 } = parts.contentFields;
  const types = !contents && mendable + emptyMultiparts > 0;
  return lines || types ? { ...parts, mending: measureMending(wholeOf(raw), { lines, types: true, unsigned }) } : parts;
}

const TEXT_TYPE = /^text\/(plain|html)$/;

/** A body without its transfer encoding. */
interface SinglePart {
  readonly kind: TextKind;
  readonly bytes: Buffer;
  readonly charset: string | undefined;
  readonly contentFields: MessageParts['contentFields'];
}

/**
 * Reads a message that is one text and nothing else, which most programs send. mailparser's streams cost five times as much for
 * it; a test holds both to the same result (`test/message/single-part.test.ts`).
 *
 * @returns null for any other message, and for one that leaves room for doubt
 */
export function readSinglePart(
  raw: MessageBytes,
  fields: readonly HeaderField[],
): MessageParts | Promise<MessageParts> | null {
  const part = findSinglePart(raw, fields);
  if (part === null) return null;
  const { bytes, charset, kind } = part;
  if (bytes.length < LARGE_TEXT) return partsOf(part, readSmallText(bytes, charset, kind));
  return readBodyText(bytes, charset, kind).then(text => partsOf(part, text));
}

function partsOf({ kind, contentFields }: SinglePart, text: BodyText): MessageParts {
  const bodies = { text: kind === 'plain' ? text : null, html: kind === 'html' ? text : null };
  return { ...bodies, attachments: [], attachmentsJson: null, contentFields };
}

function findSinglePart(raw: MessageBytes, fields: readonly HeaderField[]): SinglePart | null {
  const content = fields.filter(({ name }) => name.length > 7 && name.slice(0, 8).toLowerCase() === 'content-');
  const type = soleValue(content, 'content-type');
  const encoding = soleValue(content, 'content-transfer-encoding');
  if (type === null || encoding === null || fieldsNamed(content, 'content-disposition').length > 0) return null;
  const { value, params } = libmime.parseHeaderValue(type || 'text/plain', { stripComments: true });
  // RFC 3676: its lines have to be joined.
  if (params['format']?.trim().toLowerCase() === 'flowed' && params['delsp'] !== undefined) return null;
  const [, kind] = TEXT_TYPE.exec(value.trim().toLowerCase()) ?? [];
  const bytes = kind === undefined ? null : decodeTransfer(bodyOf(raw), encoding.toLowerCase());
  if (bytes === null) return null;
  const contentFields = readContentFields(firstValue(content, 'content-type'), undefined);
  return { kind: kind === 'html' ? 'html' : 'plain', bytes, charset: params['charset'], contentFields };
}

function bodyOf(raw: MessageBytes): Buffer {
  const whole = wholeOf(raw);
  return whole.subarray(bodyOffset(whole));
}

/** The field's value; empty where there is none, null where there are several. */
function soleValue(fields: readonly HeaderField[], name: string): string | null {
  const [field, another] = fieldsNamed(fields, name);
  return another === undefined ? (field?.value ?? '') : null;
}

/** RFC 2045 section 6; null where decoders differ about what is meant. */
function decodeTransfer(body: Buffer, encoding: string): Buffer | null {
  switch (encoding) {
    case '':
    case '7bit':
    case '8bit':
      return body;
    case 'quoted-printable':
      return decodeQuotedPrintable(body);
    case 'base64': {
      const text = body.toString('latin1').trimEnd();
      const clean = /^[A-Za-z0-9+/\r\n]*={0,2}$/.test(text);
      return clean ? Buffer.from(text, 'base64') : null;
    }
    default:
      return null;
  }
}

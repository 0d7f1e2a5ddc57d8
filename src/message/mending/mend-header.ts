import libmime from 'libmime';
import { mendedContentType, mendedDisposition } from '../mime/mended-fields.ts';
import { foldField } from './fold-field.ts';
import { hasLongLine } from './long-lines.ts';
import { bodyOf, type MimePart, type PlacedField } from './mime-part.ts';

/** A header field in its new form. */
export interface NewField {
  readonly field: PlacedField;
  /** Whole, with its CRLF; null where a line of it cannot be made short enough. Bytes as Latin-1 characters. */
  readonly text: string | null;
}

/** The field with its long lines folded; null where it has none. */
export function folded(raw: Buffer, field: PlacedField): NewField | null {
  const { name, start, end } = field;
  if (!hasLongLine(raw.subarray(start, end))) return null;
  return { field, text: name === '' ? null : foldField(raw.toString('latin1', start, end), name) };
}

/** Content-Type and Content-Disposition as what they mean, where they are not of the form of RFC 2045. */
export function mendedFields(raw: Buffer, part: MimePart): NewField[] {
  const field = (name: string) => part.fields.find(each => each.name === name);
  const [type, disposition] = [field('content-type'), field('content-disposition')];
  const mendedType = type && mendedContentType(bodyOf(raw, type), disposition && bodyOf(raw, disposition));
  const mendedPlace = disposition && mendedDisposition(bodyOf(raw, disposition));
  return [
    ...(type && mendedType ? [newField(type, `Content-Type: ${mendedType}\r\n`)] : []),
    ...(disposition && mendedPlace ? [newField(disposition, `Content-Disposition: ${mendedPlace}\r\n`)] : []),
  ];
}

/** The Content-Type of a multipart that has no parts, as that of the text it is. */
export function textType(raw: Buffer, part: MimePart): NewField | null {
  const field = part.fields.find(({ name }) => name === 'content-type');
  if (!field) return null;
  const { charset } = libmime.parseHeaderValue(bodyOf(raw, field), { stripComments: true }).params;
  const parameter = /^[\w.:-]+$/.test(charset ?? '') ? `; charset=${charset}` : '';
  return newField(field, `Content-Type: text/plain${parameter}\r\n`);
}

function newField(field: PlacedField, text: string): NewField {
  return { field, text: hasLongLine(Buffer.from(text, 'latin1')) ? foldField(text, field.name) : text };
}

/**
 * How a part says that its content is encoded.
 *
 * @param isMessage needs MIME-Version too (RFC 2045 section 4)
 * @returns what stands in the place of its field, or is to be added behind all others
 */
export function encodingField(
  part: MimePart,
  encoding: string,
  isMessage: boolean,
): { readonly start: number; readonly end: number; readonly text: string } {
  const field = part.fields.find(({ name }) => name === 'content-transfer-encoding');
  const isMime = !isMessage || part.fields.some(({ name }) => name === 'mime-version');
  const text = `${isMime ? '' : 'MIME-Version: 1.0\r\n'}Content-Transfer-Encoding: ${encoding}\r\n`;
  return { start: field?.start ?? part.fieldsEnd, end: field?.end ?? part.fieldsEnd, text };
}

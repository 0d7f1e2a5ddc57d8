import libmime from 'libmime';
import { hasLongLine, MAX_LINE } from '../bytes.ts';
import { trimWhiteSpaceEnd } from '../header/fields.ts';
import { mendedContentType, mendedDisposition } from '../mime/content-fields.ts';
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

/** RFC 5322 section 2.1.1: what a line should have at most. */
const GOOD_LINE = 78;
const CRLF = '\r\n';

/** Fields in which white space may stand behind a separator (RFC 5322 sections 3.4 and 3.6.4, RFC 2045 section 5.1, RFC 2369). */
const LIST = /^(?:(?:resent-)?(?:from|sender|to|cc)|reply-to|keywords|list-.*|disposition-notification-to|errors-to)$/;
const IDS = /^(?:references|in-reply-to)$/;
const PARAMETERS = /^content-(?:type|disposition)$/;

/**
 * Folds the long lines of a header field (RFC 5322 section 2.2.3). Folds at white space change nothing for readers that unfold
 * the field. Where there is none, a field of addresses, ids or parameters is folded behind its separators.
 *
 * @param field whole, with its CRLF: bytes as Latin-1 characters
 * @param name in lower case
 * @returns null where a line cannot be made short enough
 */
export function foldField(field: string, name: string): string | null {
  const [first = '', ...others] = field.split(CRLF).map(shrunk);
  // Some readers take a line of white space for the end of the header.
  const kept = [first, ...others.slice(0, -1).filter(line => line.trim() !== ''), ...others.slice(-1)];
  const lines = kept.map((line, index) => (line.length > MAX_LINE ? foldLine(line, name, index === 0) : line));
  const folded = lines.join(CRLF);
  return hasLongLine(Buffer.from(folded, 'latin1')) ? null : folded;
}

/** A long line without more white space than one may put into a line. */
function shrunk(line: string): string {
  return line.length > MAX_LINE ? trimWhiteSpaceEnd(line).replaceAll(/[ \t]{79,}/g, ' ') : line;
}

function foldLine(line: string, name: string, isFirst: boolean): string {
  const atSpaces = breakAt(line, spaces(line, isFirst));
  return atSpaces
    .flatMap(piece => (piece.length > MAX_LINE ? breakAt(piece, separators(piece, name)) : [piece]))
    .map((piece, nth) => (nth === 0 || /^[ \t]/.test(piece) ? piece : ` ${piece}`))
    .join(CRLF);
}

/** Cuts at as few of the places as it takes to keep to good lines, or to lines as near to them as there is a place. */
function breakAt(text: string, places: readonly number[]): string[] {
  const pieces: string[] = [];
  let start = 0;
  let last = 0;
  for (const place of [...places, text.length]) {
    if (place - start > GOOD_LINE && last > start) {
      pieces.push(text.slice(start, last));
      start = last;
    }
    last = place;
  }
  return [...pieces, text.slice(start)];
}

/** Before each run of white space, but that which begins the line; behind the field's name only where that makes it short enough. */
function spaces(text: string, isFirst: boolean): number[] {
  const places = [...text.matchAll(/[ \t]+/g)].map(({ index }) => index).filter(index => index > 0);
  if (!isFirst || places[0] !== text.indexOf(':') + 1) return places;
  const [afterName = 0, next = text.length] = places;
  return next > MAX_LINE && next - afterName <= MAX_LINE ? places : places.slice(1);
}

/** An encoded word may hold separators. */
const ENCODED_WORD = /=\?[^?\s]{1,60}\?[bq]\?[^?\s]{0,500}\?=/iy;

/** Behind each separator that stands outside quoted strings, comments and encoded words. */
function separators(text: string, name: string): number[] {
  const isSeparator = separatorOf(name);
  const places: number[] = [];
  let isQuoted = false;
  let depth = 0;
  for (let position = 0; isSeparator !== null && position < text.length; position += 1) {
    const char = text[position] as string;
    if (char === '\\') position += 1;
    else if (char === '"' && depth === 0) isQuoted = !isQuoted;
    else if (isQuoted) continue;
    else if (char === '(') depth += 1;
    else if (char === ')') depth -= 1;
    else if (char === '=') position += Math.max(0, encodedWordAt(text, position) - 1);
    else if (depth === 0 && isSeparator(char, text[position + 1])) places.push(position + 1);
  }
  return places.filter(place => place < text.length);
}

function encodedWordAt(text: string, position: number): number {
  ENCODED_WORD.lastIndex = position;
  return ENCODED_WORD.exec(text)?.[0].length ?? 0;
}

function separatorOf(name: string): ((char: string, next: string | undefined) => boolean) | null {
  if (LIST.test(name)) return char => char === ',';
  if (PARAMETERS.test(name)) return char => char === ';';
  if (IDS.test(name)) return (char, next) => char === '>' && next === '<';
  return null;
}

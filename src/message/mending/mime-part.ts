import libmime from 'libmime';
import { isAscii } from '../addresses/address.ts';
import type { Range } from '../bytes.ts';
import { bodyOffset, trimWhiteSpaceEnd, unfold } from '../header/fields.ts';
import { mediaType } from '../mime/attachment-fields.ts';
import { effectiveEncoding, effectiveType } from '../mime/part-header.ts';

/** A header field where it stands. */
export interface PlacedField {
  /** In lower case; empty where there is no colon. */
  readonly name: string;
  readonly start: number;
  /** Behind its last line's CRLF. */
  readonly end: number;
}

/** A message or a part of one. All offsets are of the whole message. */
export interface MimePart {
  readonly start: number;
  readonly fields: readonly PlacedField[];
  /** Where its header's last field ends. */
  readonly fieldsEnd: number;
  /** Of its content; `end` where it has none. */
  readonly bodyAt: number;
  readonly end: number;
  /** In lower case, without parameters, as readers take it. */
  readonly type: string;
  readonly boundary: string;
  /** In lower case; empty where there is none, null where there are several. */
  readonly encoding: string | null;
}

/** Reads the header of the message, or part, that stands there. @param inDigest RFC 2046 section 5.1.5 */
export function readPart(raw: Buffer, start: number, end: number, inDigest: boolean): MimePart {
  const bodyAt = start + bodyOffset(raw.subarray(start, end));
  const fields = placedFields(raw, start, bodyAt);
  const named = (name: string) => fields.filter(field => field.name === name).map(field => bodyOf(raw, field));
  const [type] = named('content-type');
  const [disposition] = named('content-disposition');
  const read = { type: parameters(type), disposition: parameters(disposition) };
  const boundary = boundaryIn(read.type.params['boundary'] ?? '');
  const encodings = named('content-transfer-encoding');
  const effective = effectiveType({
    contentType: type === undefined ? false : read.type.value.trim().toLowerCase(),
    disposition: disposition === undefined ? false : read.disposition.value.trim().toLowerCase(),
    filename: read.disposition.params['filename'] || read.type.params['name'] || false,
    hasBoundary: boundary !== '',
    headers: { hasHeader: () => type !== undefined },
    ...(inDigest && { parentNode: { multipart: 'digest' } }),
  });
  return {
    start,
    fields,
    fieldsEnd: fields.at(-1)?.end ?? start,
    bodyAt,
    end,
    type: effective,
    boundary,
    encoding: encodings.length > 1 ? null : effectiveEncoding((encodings[0] ?? '').replaceAll(/\([^()]*\)/g, '')),
  };
}

/** One with other characters than ASCII divides nothing (RFC 2046 section 5.1.1), for those who read the message at its acceptance too. */
function boundaryIn(parameter: string): string {
  const boundary = parameter.replaceAll(/\([^()]*\)/g, '').trim();
  return isAscii(boundary) ? boundary : '';
}

/** The field's body, unfolded; bytes as Latin-1 characters. */
export function bodyOf(raw: Buffer, { start, end }: PlacedField): string {
  const line = raw.toString('latin1', start, end);
  return unfold(line.slice(line.indexOf(':') + 1));
}

function parameters(value: string | undefined) {
  return libmime.parseHeaderValue(value ?? '', { stripComments: true });
}

/** Told as `readHeaderFields` tells them. */
function placedFields(raw: Buffer, start: number, end: number): PlacedField[] {
  const text = raw.toString('latin1', start, end);
  const fields: PlacedField[] = [];
  let position = 0;
  while (position < text.length && !text.startsWith('\r\n', position)) {
    let next = position;
    do {
      const lineEnd = text.indexOf('\r\n', next);
      next = lineEnd === -1 ? text.length : lineEnd + 2;
    } while (text[next] === ' ' || text[next] === '\t');
    const colon = text.indexOf(':', position);
    const name = colon === -1 || colon >= next ? '' : text.slice(position, colon).trimEnd().toLowerCase();
    fields.push({ name, start: start + position, end: start + next });
    position = next;
  }
  return fields;
}

/** What a multipart's content is made of. */
export interface Division {
  /** Without the line break before each delimiter, which belongs to that (RFC 2046 section 5.1.1). */
  readonly parts: readonly Range[];
  /** The lines that divide, with their CRLF. */
  readonly delimiters: readonly Range[];
  /** What stands before the first and behind the last delimiter. */
  readonly around: readonly Range[];
}

/** More of them are divided for no reader. Those of the message itself were counted when it was read. */
const MAX_DELIMITERS = 20_000;

/** @returns null where there is no part, or more of them than can be told */
export function divide(raw: Buffer, { bodyAt, end, boundary }: MimePart): Division | null {
  const delimiters: Delimiter[] = [];
  for (const delimiter of findDelimiters(raw, bodyAt, end, boundary)) {
    if (delimiters.length === MAX_DELIMITERS) return null;
    delimiters.push(delimiter);
  }
  const [first] = delimiters;
  const last = delimiters.at(-1);
  if (first === undefined || last === undefined || first.isLast) return null;
  const parts = delimiters.flatMap(({ isLast, ...delimiter }, index) => {
    if (isLast) return [];
    const stop = delimiters[index + 1]?.start;
    const contentEnd = stop === undefined ? end : Math.max(delimiter.end, stop - 2);
    return [{ start: delimiter.end, end: contentEnd }];
  });
  const epilogue = last.isLast ? [{ start: last.end, end }] : [];
  return { parts, delimiters, around: [{ start: bodyAt, end: first.start }, ...epilogue] };
}

interface Delimiter extends Range {
  readonly isLast: boolean;
}

function* findDelimiters(raw: Buffer, from: number, end: number, boundary: string): Generator<Delimiter> {
  if (boundary === '') return;
  const text = Buffer.from(`--${boundary}`, 'latin1');
  for (let at = raw.indexOf(text, from); at !== -1 && at < end; at = raw.indexOf(text, at + 1)) {
    if (at !== from && raw[at - 1] !== 0x0a) continue;
    const lineFeed = raw.indexOf(0x0a, at);
    const next = lineFeed === -1 || lineFeed >= end ? end : lineFeed + 1;
    const rest = trimWhiteSpaceEnd(raw.toString('latin1', at + text.length, next));
    if (rest !== '' && rest !== '--') continue;
    yield { start: at, end: next, isLast: rest === '--' };
    if (rest === '--') return;
  }
}

/** Where in a message something stands. */
export interface Place {
  /** Of the part: `2.1`; empty for a message itself. */
  readonly number: string;
  /** Of which message: empty for the one that is sent, else ` of the message in part 2`. */
  readonly of: string;
  /** How many parts and messages it is in. */
  readonly depth: number;
  /** Signed or encrypted by what is around it. */
  readonly isSealed: boolean;
  /** RFC 2046 section 5.1.5. */
  readonly inDigest: boolean;
}

export const WHOLE: Place = { number: '', of: '', depth: 0, isSealed: false, inDigest: false };

/** Longer ones say no more. */
const MAX_NAME = 60;
const MAX_PLACE = 150;

/** For a reply: `the body`, `part 2 (application/json)`. */
export function contentPlace({ number, of }: Place, { type }: MimePart): string {
  return shown(number === '' ? `the body${of}` : `part ${number}${of} (${mediaType(type)})`);
}

/** For a reply: `header References`, `header Content-Type of part 2`. */
export function fieldPlace({ number, of }: Place, raw: Buffer, { name, start }: PlacedField): string {
  const written = raw.toString('latin1', start, start + Math.min(name.length, MAX_NAME));
  const field = name === '' ? 'a header without a name' : `header ${written}`;
  return shown(`${field}${number === '' ? of : ` of part ${number}${of}`}`);
}

function shown(place: string): string {
  return place.slice(0, MAX_PLACE).replaceAll(/[^ -~]/g, '?');
}

/** @param nth from 1 */
export function partPlace(place: Place, nth: number, within: Pick<Place, 'isSealed' | 'inDigest'>): Place {
  const number = place.number === '' ? `${nth}` : `${place.number}.${nth}`;
  return { number, of: place.of, depth: place.depth + 1, ...within };
}

/** Of the message that a part is. */
export function messagePlace(place: Place, isSealed: boolean): Place {
  const of = ` of the message in ${place.number === '' ? 'the body' : `part ${place.number}`}${place.of}`;
  return { number: '', of: shown(of), depth: place.depth + 1, isSealed, inDigest: false };
}

import libmime from 'libmime';
import { isAscii } from '../addresses/address.ts';
import { bodyOffset, trimWhiteSpaceEnd, unfold } from '../header/fields.ts';
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

/** A stretch of the message. */
export interface Range {
  readonly start: number;
  readonly end: number;
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

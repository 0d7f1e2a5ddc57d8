import { isUtf8 } from 'node:buffer';
import { type MessageBytes, piecesOf } from '../bytes.ts';
import { contentRefusal, sizeRefusal } from '../refusal.ts';

/** One header field as the client wrote it. */
export interface HeaderField {
  /** Field name in the client's own case. */
  readonly name: string;
  /** Field body: unfolded (RFC 5322 section 2.2.3), trimmed, encoded words left as they are. */
  readonly value: string;
  /** The same with each fold, and the white space around it, as one space; only where it is folded. */
  readonly refolded?: string;
  /** White space stood between the name and the colon, which readers of messages disagree about. */
  readonly spaceBeforeColon: boolean;
}

const CR = 0x0d;
const LF = 0x0a;
const COLON = 0x3a;
const WHITE_SPACE = new Set<string | undefined>([' ', '\t', '\r', '\n']);
const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]+$/;
const HEADER_END = Buffer.from('\r\n\r\n');
const NOTHING = Buffer.alloc(0);

/**
 * Where the header section ends: the offset of the body's first byte (RFC 5322 section 2.1).
 * Lines end with CRLF. Without an empty line the whole message is header.
 */
export function bodyOffset(raw: Buffer): number {
  if (raw[0] === CR && raw[1] === LF) return 2;
  const end = raw.indexOf(HEADER_END);
  return end === -1 ? raw.length : end + HEADER_END.length;
}

/** The first bytes of a message in one piece: its header section with what follows it, or more than `maxBytes`. */
export function startOf(raw: MessageBytes, maxBytes: number): Buffer {
  const [first = NOTHING, ...others] = piecesOf(raw);
  let start = first;
  for (const piece of others) {
    if (start.length > maxBytes + HEADER_END.length || start.includes(HEADER_END)) break;
    start = Buffer.concat([start, piece]);
  }
  return start;
}

/**
 * Splits the header section into fields, in the order written, from the raw bytes: decisions about identity
 * must not rest on a lenient parser's reading.
 *
 * A field whose bytes are not UTF-8 (RFC 6532) is read as Latin-1, so that nothing is lost.
 *
 * @throws Refusal 552 where the section is longer than `maxBytes`; 554 for a line that is no header field.
 */
export function readHeaderFields(raw: Buffer, maxBytes: number): readonly HeaderField[] {
  const end = bodyOffset(raw);
  if (end > maxBytes) {
    throw sizeRefusal('header_size', `Message header is larger than ${maxBytes} bytes: shorten it`);
  }
  const section = raw.subarray(0, end);
  const allUtf8 = isUtf8(section);
  const text = section.toString(allUtf8 ? 'utf8' : 'latin1');
  const fields: HeaderField[] = [];
  let start = 0;
  while (start < text.length) {
    const next = endOfField(text, start);
    const line = text.slice(start, next);
    start = next;
    if (line === '\r\n') break;
    fields.push(readField(allUtf8 ? line : fieldText(Buffer.from(line, 'latin1')), fields.length + 1));
  }
  return fields;
}

/** A field's bytes as text. One client writes some of its fields, another program the others: each tells for itself what it is. */
export function fieldText(bytes: Buffer): string {
  return bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');
}

/** The offset behind a field's last line: a line that begins with white space continues the one before it. */
function endOfField(text: string, start: number): number {
  let position = start;
  for (;;) {
    const lineEnd = text.indexOf('\r\n', position);
    if (lineEnd === -1) return text.length;
    position = lineEnd + 2;
    const next = text[position];
    if ((next !== ' ' && next !== '\t') || lineEnd === start) return position;
  }
}

function readField(line: string, number: number): HeaderField {
  const colon = line.indexOf(String.fromCharCode(COLON));
  const name = colon === -1 ? '' : line.slice(0, colon).trimEnd();
  if (!FIELD_NAME.test(name)) {
    throw contentRefusal(
      'header_syntax',
      `Header field ${number} is not of the form "Name: value" (RFC 5322): mend it`,
    );
  }
  const body = trimWhiteSpace(line.slice(colon + 1));
  const spaceBeforeColon = name.length !== colon;
  if (!body.includes('\r\n')) return { name, value: body, spaceBeforeColon };
  return { name, value: unfold(body), refolded: refold(body), spaceBeforeColon };
}

function refold(body: string): string {
  const lines = body.split('\r\n').map(trimWhiteSpace);
  return lines.filter(line => line !== '').join(' ');
}

/** A field's body without its line breaks, and without white space at its ends. */
export function unfold(value: string): string {
  const trimmed = trimWhiteSpace(value);
  return trimmed.includes('\r') ? trimmed.replaceAll(/\r\n(?=[ \t])/g, '') : trimmed;
}

/** `trim` takes more than the white space of RFC 5322 away: what else stands at an end was meant by the client. */
export function trimWhiteSpace(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && WHITE_SPACE.has(value[start])) start += 1;
  while (end > start && WHITE_SPACE.has(value[end - 1])) end -= 1;
  return value.slice(start, end);
}

/** The same, at the end only. */
export function trimWhiteSpaceEnd(value: string): string {
  let end = value.length;
  while (end > 0 && WHITE_SPACE.has(value[end - 1])) end -= 1;
  return value.slice(0, end);
}

/** All fields of that name, compared without regard to case. `name` is given in lower case. */
export function fieldsNamed(fields: readonly HeaderField[], name: string): readonly HeaderField[] {
  return fields.filter(field => field.name.length === name.length && field.name.toLowerCase() === name);
}

/** The first field's value of that name, or undefined. `name` is given in lower case. */
export function firstValue(fields: readonly HeaderField[], name: string): string | undefined {
  return fieldsNamed(fields, name)[0]?.value;
}

import type { Edit } from './transfer.ts';

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const EQUALS = 0x3d;
/** The longest line, a soft line break's `=` counted (RFC 2045 section 6.7). */
const MAX_LINE = 76;
const SOFT_BREAK = '=\r\n';

export interface QuotedPrintable {
  readonly decoded: Buffer;
  /** Where each decoded byte was written, and, one more, where the content ends. */
  readonly positions: Uint32Array;
}

/**
 * Decodes quoted-printable (RFC 2045 section 6.7), and tells what stood where, so that an edit leaves the rest of the
 * encoded text alone. What is not valid stands for itself, as most readers take it. In linear time, whatever it is given.
 */
export function decodeQuotedPrintable(content: Buffer): QuotedPrintable {
  const decoded = Buffer.allocUnsafe(content.length);
  const positions = new Uint32Array(content.length + 1);
  let length = 0;
  let index = 0;
  const put = (byte: number, width: number) => {
    decoded[length] = byte;
    positions[length] = index;
    length += 1;
    index += width;
  };
  while (index < content.length) {
    const byte = content[index] as number;
    if (byte === EQUALS) {
      const lineEnd = blankLineEnd(content, index + 1);
      const value = hexByte(content, index + 1);
      if (lineEnd !== -1) index = behindLineBreak(content, lineEnd);
      else if (value !== -1) put(value, 3);
      else put(byte, 1);
    } else if (byte === SPACE || byte === TAB) {
      const lineEnd = blankLineEnd(content, index);
      if (lineEnd !== -1) index = lineEnd;
      else while (content[index] === SPACE || content[index] === TAB) put(content[index] as number, 1);
    } else {
      put(byte, 1);
    }
  }
  positions[length] = content.length;
  return { decoded: decoded.subarray(0, length), positions: positions.subarray(0, length + 1) };
}

/** Where the line ends, if there is nothing but white space from `start` on; else -1. */
function blankLineEnd(content: Buffer, start: number): number {
  let index = start;
  while (content[index] === SPACE || content[index] === TAB) index += 1;
  const atEnd =
    index === content.length || content[index] === LF || (content[index] === CR && content[index + 1] === LF);
  return atEnd ? index : -1;
}

function behindLineBreak(content: Buffer, lineEnd: number): number {
  if (lineEnd === content.length) return lineEnd;
  return content[lineEnd] === CR ? lineEnd + 2 : lineEnd + 1;
}

function hexByte(content: Buffer, start: number): number {
  const digits = content.toString('latin1', start, start + 2);
  return /^[0-9a-f]{2}$/i.test(digits) ? Number.parseInt(digits, 16) : -1;
}

/** Edits the encoded text: only the lines that an edit touches become others, none of them longer than 76. */
export function editQuotedPrintable(
  content: Buffer,
  { decoded, positions }: QuotedPrintable,
  edits: readonly Edit[],
): Buffer {
  const pieces: Buffer[] = [];
  let position = 0;
  let column = 0;
  for (const { start, end, text } of edits) {
    // A line that is full has no room for the soft break: its last byte moves to the next one.
    const isFull = start > 0 && columnAt(content, positions[start] as number) >= MAX_LINE;
    const from = isFull ? start - 1 : start;
    const before = content.subarray(position, positions[from]);
    pieces.push(before);
    const lastBreak = before.lastIndexOf(LF);
    column = lastBreak === -1 ? column + before.length : before.length - lastBreak - 1;
    const written = encodeFrom(column, isFull ? Buffer.concat([decoded.subarray(from, start), text]) : text);
    pieces.push(written.bytes);
    position = positions[end] as number;
    const isTooLong = written.column + lengthOfLine(content, position) > MAX_LINE;
    if (isTooLong) pieces.push(Buffer.from(SOFT_BREAK));
    column = isTooLong ? 0 : written.column;
  }
  pieces.push(content.subarray(position));
  return Buffer.concat(pieces);
}

/** `text` as it goes on behind `column` characters of a line. Each line that it ends has room for the soft break. */
function encodeFrom(column: number, text: Buffer): { bytes: Buffer; column: number } {
  let written = '';
  let at = column;
  for (const byte of text) {
    const isLiteral = byte >= SPACE && byte < 0x7f && byte !== EQUALS;
    const token = isLiteral ? String.fromCharCode(byte) : `=${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    if (at + token.length >= MAX_LINE) {
      written += SOFT_BREAK;
      at = 0;
    }
    written += token;
    at += token.length;
  }
  return { bytes: Buffer.from(written, 'latin1'), column: at };
}

/** Characters before it in its line, as far as it matters: `MAX_LINE` stands for that many or more. */
function columnAt(content: Buffer, position: number): number {
  const near = content.subarray(Math.max(0, position - MAX_LINE), position);
  return near.length - near.lastIndexOf(LF) - 1;
}

/** Characters from there to the end of the line, as far as it matters: what is longer than `MAX_LINE` is so. */
function lengthOfLine(content: Buffer, start: number): number {
  const near = content.subarray(start, start + MAX_LINE + 2);
  const lineFeed = near.indexOf(LF);
  if (lineFeed === -1) return near.length;
  return near[lineFeed - 1] === CR ? lineFeed - 1 : lineFeed;
}

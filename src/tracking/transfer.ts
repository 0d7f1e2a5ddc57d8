import { toBase64 } from '../message/mending/content.ts';
import { decodeQuotedPrintable } from '../message/mime/decoders.ts';

/** Puts `text` in the place of the decoded bytes from `start` to `end`. A line break may be put before and behind it. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: Buffer;
}

/** The content of a part without its transfer encoding (RFC 2045 section 6). */
export interface Transfer {
  readonly decoded: Buffer;
  /** Whether `edit` puts line breaks beside texts, and cannot take one whose line is longer than `MAX_LINE`. */
  readonly keepsLines: boolean;
  /** The content, in the same transfer encoding, after these edits: in order, none over another. */
  edit(edits: readonly Edit[]): Buffer;
}

/** The longest line without its end (RFC 5322 section 2.1.1). */
export const MAX_LINE = 998;

const CRLF = Buffer.from('\r\n');
const LF = 0x0a;
const CR = 0x0d;
const BASE64 = /^[A-Za-z0-9+/\r\n]*={0,2}$/;

/** @returns null for an encoding that is not known, and for content that decoders would read differently. */
export function readTransfer(content: Buffer, encoding: string): Transfer | null {
  switch (encoding) {
    case '':
    case '7bit':
    case '8bit':
    case 'binary':
      return { decoded: content, keepsLines: true, edit: edits => editLines(content, edits) };
    case 'quoted-printable': {
      const positions = new Uint32Array(content.length + 1);
      const decoded = decodeQuotedPrintable(content, positions);
      const edit = (edits: readonly Edit[]) => editQuotedPrintable(content, { decoded, positions }, edits);
      return { decoded, keepsLines: false, edit };
    }
    case 'base64':
      return readBase64(content);
    default:
      return null;
  }
}

function readBase64(content: Buffer): Transfer | null {
  const all = content.toString('latin1');
  let end = all.length;
  while (end > 0 && all.charCodeAt(end - 1) <= 0x20) end -= 1;
  const text = all.slice(0, end);
  if (!BASE64.test(text)) return null;
  const decoded = Buffer.from(text, 'base64');
  return {
    decoded,
    keepsLines: false,
    edit: edits => Buffer.concat([...toBase64(splice(decoded, edits)), content.subarray(end)]),
  };
}

function splice(bytes: Buffer, edits: readonly Edit[]): Buffer {
  const pieces: Buffer[] = [];
  let position = 0;
  for (const { start, end, text } of edits) {
    pieces.push(bytes.subarray(position, start), text);
    position = end;
  }
  return Buffer.concat([...pieces, bytes.subarray(position)]);
}

/** As `splice`, but breaks lines beside the texts where they would become too long. */
function editLines(bytes: Buffer, edits: readonly Edit[]): Buffer {
  const pieces: Buffer[] = [];
  let column = 0;
  const put = (piece: Buffer) => {
    const lastBreak = piece.lastIndexOf(LF);
    column = lastBreak === -1 ? column + piece.length : piece.length - lastBreak - 1;
    pieces.push(piece);
  };
  edits.forEach(({ start, end, text }, index) => {
    put(bytes.subarray(edits[index - 1]?.end ?? 0, start));
    if (column > 0 && column + firstLine(text) > MAX_LINE) put(CRLF);
    put(text);
    const rest = bytes.subarray(end, edits[index + 1]?.start);
    if (column + firstLine(rest) > MAX_LINE) put(CRLF);
  });
  put(bytes.subarray(edits.at(-1)?.end ?? 0));
  return Buffer.concat(pieces);
}

/** Bytes up to the first line break. */
function firstLine(bytes: Buffer): number {
  const lineFeed = bytes.indexOf(LF);
  if (lineFeed === -1) return bytes.length;
  return bytes[lineFeed - 1] === CR ? lineFeed - 1 : lineFeed;
}

interface QuotedPrintable {
  readonly decoded: Buffer;
  /** As `decodeQuotedPrintable` gives them. */
  readonly positions: Uint32Array;
}

/** The longest line, a soft line break's `=` counted (RFC 2045 section 6.7). */
const QUOTED_LINE = 76;
const SOFT_BREAK = '=\r\n';
const SPACE = 0x20;
const EQUALS = 0x3d;

/** Edits the encoded text: only the lines that an edit touches become others, none of them longer than 76. */
function editQuotedPrintable(content: Buffer, { decoded, positions }: QuotedPrintable, edits: readonly Edit[]): Buffer {
  const pieces: Buffer[] = [];
  let position = 0;
  let column = 0;
  for (const { start, end, text } of edits) {
    // A line that is full has no room for the soft break: its last byte moves to the next one.
    const isFull = start > 0 && columnAt(content, positions[start] as number) >= QUOTED_LINE;
    const from = isFull ? start - 1 : start;
    const before = content.subarray(position, positions[from]);
    pieces.push(before);
    const lastBreak = before.lastIndexOf(LF);
    column = lastBreak === -1 ? column + before.length : before.length - lastBreak - 1;
    const written = encodeFrom(column, isFull ? Buffer.concat([decoded.subarray(from, start), text]) : text);
    pieces.push(written.bytes);
    position = positions[end] as number;
    const isTooLong = written.column + lengthOfLine(content, position) > QUOTED_LINE;
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
    if (at + token.length >= QUOTED_LINE) {
      written += SOFT_BREAK;
      at = 0;
    }
    written += token;
    at += token.length;
  }
  return { bytes: Buffer.from(written, 'latin1'), column: at };
}

/** Characters before it in its line, as far as it matters: `QUOTED_LINE` stands for that many or more. */
function columnAt(content: Buffer, position: number): number {
  const near = content.subarray(Math.max(0, position - QUOTED_LINE), position);
  return near.length - near.lastIndexOf(LF) - 1;
}

/** Characters from there to the end of the line, as far as it matters: what is longer than `QUOTED_LINE` is so. */
function lengthOfLine(content: Buffer, start: number): number {
  const near = content.subarray(start, start + QUOTED_LINE + 2);
  const lineFeed = near.indexOf(LF);
  if (lineFeed === -1) return near.length;
  return near[lineFeed - 1] === CR ? lineFeed - 1 : lineFeed;
}

import { MAX_LINE } from '../bytes.ts';
import { hasPgpText, isSealedType } from '../mime/part-header.ts';
import type { MimePart } from './mime-part.ts';

/** Content in pieces, so that nobody has to hold all of it, or to work on it in one go. */
export type Pieces = Generator<Buffer, void>;

/** A part's content without long lines. */
export interface NewContent {
  /** Its Content-Transfer-Encoding; null where that stays. */
  readonly encoding: 'quoted-printable' | 'base64' | null;
  readonly pieces: () => Pieces;
}

/** RFC 2045 sections 6.7 and 6.8: characters in a line, a soft line break's `=` among them. */
const LINE = 76;
const LINE_BYTES = 57;
/** Bytes of content that are encoded at a time: whole lines of Base64. */
const BATCH = LINE_BYTES * 1_024;
const CR = 0x0d;
const LF = 0x0a;
const TAB = 0x09;
const SPACE = 0x20;
const DASH = 0x2d;
const EQUALS = 0x3d;
const TILDE = 0x7e;
const HEX = Buffer.from('0123456789ABCDEF');
const CRLF = Buffer.from('\r\n');
const IDENTITY = new Set<string | null>(['', '7bit', '8bit', 'binary']);

/** Whether a part is a message, whose own parts are to be encoded and not itself (RFC 2046 section 5.2.1, RFC 6532). */
export function isMessage({ type, encoding }: MimePart): boolean {
  return (type === 'message/rfc822' || type === 'message/global') && IDENTITY.has(encoding);
}

/** Whether a part's content is signed or encrypted. */
export function isSealed(raw: Buffer, { type, encoding, bodyAt, end }: MimePart): boolean {
  if (isSealedType(type)) return true;
  return type.startsWith('text/') && IDENTITY.has(encoding) && hasPgpText(raw.subarray(bodyAt, end));
}

/** The content of a part that is no multipart, encoded anew or in shorter lines; null where it cannot be. */
export function newContent(raw: Buffer, { type, encoding, bodyAt, end }: MimePart): NewContent | null {
  const content = raw.subarray(bodyAt, end);
  if (encoding === 'base64') return { encoding: null, pieces: () => breakBase64(content) };
  if (encoding === 'quoted-printable') return { encoding: null, pieces: () => breakQuotedPrintable(content) };
  if (!IDENTITY.has(encoding) || type.startsWith('message/')) return null;
  if (type.startsWith('text/')) return { encoding: 'quoted-printable', pieces: () => toQuotedPrintable(content) };
  return { encoding: 'base64', pieces: () => withLineEnd(toBase64(content), end === raw.length) };
}

/** Behind the last part of all there is no delimiter, whose line break would end the line. */
function* withLineEnd(pieces: Pieces, isLast: boolean): Pieces {
  yield* pieces;
  if (isLast) yield CRLF;
}

/** Content as quoted-printable: decoded it is the same bytes. */
export function* toQuotedPrintable(content: Buffer): Pieces {
  let column = 0;
  let position = 0;
  while (position < content.length) {
    const end = Math.min(position + BATCH, content.length);
    // At worst each byte is written as three, with a soft line break behind each 25.
    const out = Buffer.allocUnsafe((end - position) * 4 + LINE);
    let length = 0;
    while (position < end) {
      const byte = content[position] as number;
      if (byte === CR && content[position + 1] === LF) {
        out[length++] = CR;
        out[length++] = LF;
        position += 2;
        column = 0;
        continue;
      }
      const isLiteral = isLiteralAt(content, position);
      if (column + (isLiteral ? 1 : 3) >= LINE) {
        out[length++] = EQUALS;
        out[length++] = CR;
        out[length++] = LF;
        column = 0;
      }
      // A line that begins with a dash could be a boundary.
      if (!isLiteral || (column === 0 && byte === DASH)) {
        out[length++] = EQUALS;
        out[length++] = HEX[byte >> 4] as number;
        out[length++] = HEX[byte & 0x0f] as number;
        column += 3;
      } else {
        out[length++] = byte;
        column += 1;
      }
      position += 1;
    }
    yield out.subarray(0, length);
  }
}

/** White space at the end of a line would be taken for padding. */
function isLiteralAt(content: Buffer, position: number): boolean {
  const byte = content[position] as number;
  if (byte !== SPACE && byte !== TAB) return byte > SPACE && byte <= TILDE && byte !== EQUALS;
  const next = content[position + 1];
  return next !== undefined && next !== CR && next !== LF;
}

/** Content as Base64, with CRLF between lines. */
export function* toBase64(content: Buffer): Pieces {
  for (let start = 0; start < content.length; start += BATCH) {
    const text = content.toString('base64', start, Math.min(start + BATCH, content.length));
    const lines = text.match(/.{1,76}/g) ?? [];
    yield Buffer.from(`${start === 0 ? '' : '\r\n'}${lines.join('\r\n')}`, 'latin1');
  }
}

/** Base64 whose long lines are cut: all its characters stay, in their order. */
function breakBase64(content: Buffer): Pieces {
  return breakLongLines(content, (_, position) => position + LINE, CRLF);
}

const SOFT_BREAK = Buffer.from('=\r\n');
/** A line that begins with a dash could be a boundary. */
const ENCODED_DASH = Buffer.from('=2D');

/** Quoted-printable whose long lines have soft line breaks: decoded it is the same bytes. */
function breakQuotedPrintable(content: Buffer): Pieces {
  return breakLongLines(content, endOfQuoted, SOFT_BREAK);
}

/** An `=` and what it encodes stay together. */
function endOfQuoted(line: Buffer, position: number): number {
  const end = position + LINE - 1;
  if (line[end - 1] === EQUALS) return end - 1;
  return line[end - 2] === EQUALS ? end - 2 : end;
}

function* breakLongLines(content: Buffer, endOfPiece: EndOfPiece, lineBreak: Buffer): Pieces {
  let kept = 0;
  for (let start = 0, next = 0; start < content.length; start = next) {
    const lineFeed = content.indexOf(LF, start);
    next = lineFeed === -1 ? content.length : lineFeed + 1;
    if (next - start <= MAX_LINE) continue;
    const line = content.subarray(start, endOfLine(content, start, next));
    if (line.length <= MAX_LINE) continue;
    yield content.subarray(kept, start);
    yield* brokenLine(line, endOfPiece, lineBreak);
    kept = start + line.length;
  }
  yield content.subarray(kept);
}

/** Where a piece of a line that begins there ends. */
type EndOfPiece = (line: Buffer, position: number) => number;

function endOfLine(content: Buffer, start: number, next: number): number {
  let end = next;
  if (content[end - 1] === LF) end -= 1;
  return end > start && content[end - 1] === CR ? end - 1 : end;
}

/** Pieces of a line are put together, so that not each of them is one to handle. */
function* brokenLine(line: Buffer, endOfPiece: EndOfPiece, lineBreak: Buffer): Pieces {
  let pieces: Buffer[] = [];
  for (let from = 0; from < line.length; ) {
    const to = line.length - from <= LINE ? line.length : endOfPiece(line, from);
    const isDash = line[from] === DASH && lineBreak === SOFT_BREAK;
    pieces.push(...(isDash ? [ENCODED_DASH, line.subarray(from + 1, to)] : [line.subarray(from, to)]));
    if (to < line.length) pieces.push(lineBreak);
    from = to;
    if (pieces.length >= 2_048) {
      yield Buffer.concat(pieces);
      pieces = [];
    }
  }
  yield Buffer.concat(pieces);
}

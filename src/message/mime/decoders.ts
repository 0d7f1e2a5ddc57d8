import { Transform, type TransformCallback } from 'node:stream';
import libmime from 'libmime';

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const EQUALS = 0x3d;

/** What a hexadecimal digit stands for; -1 for all else. */
const DIGITS = new Int8Array(256).fill(-1);
for (const [value, digit] of [...'0123456789abcdef'].entries()) {
  DIGITS[digit.charCodeAt(0)] = value;
  DIGITS[digit.toUpperCase().charCodeAt(0)] = value;
}

/**
 * Decodes quoted-printable (RFC 2045 section 6.7), and leaves malformed text as it is. Its time grows with the size alone, however
 * long the lines are; libqp looks from each space of a run for the end of the run.
 *
 * @param positions is filled with where each decoded byte was written and, behind the last one, where the text ends; it has room for
 *   one more than the text has bytes
 * @returns at most as many bytes, in memory of their own
 */
export function decodeQuotedPrintable(encoded: Buffer, positions?: Uint32Array): Buffer {
  const decoded = Buffer.allocUnsafe(encoded.length);
  let length = 0;
  /** Behind the last byte of this line that is no white space, decoded. */
  let kept = 0;
  for (let at = 0; at < encoded.length; at += 1) {
    const byte = encoded[at] as number;
    if (positions) positions[length] = at;
    if (byte === SPACE || byte === TAB) {
      decoded[length++] = byte;
    } else if (byte === CR || byte === LF) {
      // White space at a line's end was added on the way.
      decoded[kept] = byte;
      if (positions) positions[kept] = at;
      length = kept + 1;
      kept = length;
    } else if (byte === EQUALS) {
      const next = softBreakAt(encoded, at);
      if (next !== -1) {
        at = next - 1;
      } else {
        const octet = octetAt(encoded, at + 1);
        decoded[length++] = octet?.value ?? byte;
        if (octet) at = octet.end - 1;
      }
      kept = length;
    } else {
      decoded[length++] = byte;
      kept = length;
    }
  }
  if (positions) positions[kept] = encoded.length;
  return decoded.subarray(0, kept);
}

/** The offset behind a soft line break, where the `=` at `at` begins one; else -1. The end of the text is one too. */
function softBreakAt(encoded: Buffer, at: number): number {
  let end = at + 1;
  while (encoded[end] === SPACE || encoded[end] === TAB) end += 1;
  if (end >= encoded.length) return encoded.length;
  if (encoded[end] === LF) return end + 1;
  return encoded[end] === CR && encoded[end + 1] === LF ? end + 2 : -1;
}

/** The octet that two digits at `at` stand for; null where they do not. Some programs break lines between them. */
function octetAt(encoded: Buffer, at: number): { readonly value: number; readonly end: number } | null {
  const first = behindSoftBreaks(encoded, at);
  const high = DIGITS[encoded[first] as number] ?? -1;
  if (high < 0) return null;
  const second = behindSoftBreaks(encoded, first + 1);
  const low = DIGITS[encoded[second] as number] ?? -1;
  return low < 0 ? null : { value: high * 16 + low, end: second + 1 };
}

function behindSoftBreaks(encoded: Buffer, at: number): number {
  let position = at;
  while (encoded[position] === EQUALS) {
    const next = softBreakAt(encoded, position);
    if (next === -1) break;
    position = next;
  }
  return position;
}

/** `decodeQuotedPrintable` as a stream. */
export class QuotedPrintableDecoder extends Transform {
  /** The beginning of a line whose end has not come yet. */
  #line: Buffer[] = [];

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const end = chunk.lastIndexOf(LF) + 1;
    if (end > 0) {
      this.push(decodeQuotedPrintable(Buffer.concat([...this.#line, chunk.subarray(0, end)])));
      this.#line = [];
    }
    if (end < chunk.length) this.#line.push(chunk.subarray(end));
    done();
  }

  override _flush(done: TransformCallback): void {
    done(null, decodeQuotedPrintable(Buffer.concat(this.#line)));
  }
}

/** Bytes that are read at a time; the reader makes an object of each line. */
const PIECE = 256 * 1024;

/**
 * Joins the lines of `format=flowed; delsp=yes` (RFC 3676), piece by piece. A paragraph that is longer than a piece becomes two.
 *
 * @param written without its transfer encoding
 */
export function readFlowed(written: Buffer): Buffer {
  const reader = new libmime.Libmime();
  const pieces: Buffer[] = [];
  for (let start = 0; start < written.length; ) {
    const end = endOfParagraph(written, start);
    const joined = Buffer.from(reader.decodeFlowed(written.toString('latin1', start, end), true), 'latin1');
    pieces.push(...(start === 0 ? [joined] : [Buffer.of(LF), joined]));
    start = end;
  }
  return Buffer.concat(pieces);
}

/** The offset behind the last line within a piece that the next one does not continue; else behind the piece. */
function endOfParagraph(written: Buffer, start: number): number {
  const most = start + PIECE;
  if (most >= written.length) return written.length;
  for (let at = written.lastIndexOf(LF, most - 1); at > start; at = written.lastIndexOf(LF, at - 1)) {
    if (written[written[at - 1] === CR ? at - 2 : at - 1] !== SPACE) return at + 1;
  }
  const line = written.lastIndexOf(LF, most - 1);
  return line > start ? line + 1 : most;
}

const BEGIN = /^begin(-base64)? [0-7]{3,4} /;

/**
 * Decodes both forms of uuencode (POSIX.1-2017, `uuencode`): the lines between `begin` and `end`, each of which begins with how many
 * bytes it has, and Base64 between `begin-base64` and `====`. A text without such a beginning comes out as it is. Takes bytes, gives bytes.
 */
export class UuDecoder extends Transform {
  #rest: Buffer = Buffer.alloc(0);
  /** What came before `begin`; null once that has come. */
  #before: Buffer[] | null = [];
  #inside: 'historical' | 'base64' | null = null;

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(LF); end !== -1; end = bytes.indexOf(LF, start)) {
      this.#line(bytes.subarray(start, end + 1));
      start = end + 1;
    }
    this.#rest = bytes.subarray(start);
    done();
  }

  override _flush(done: TransformCallback): void {
    this.#line(this.#rest);
    for (const bytes of this.#before ?? []) this.push(bytes);
    done();
  }

  #line(bytes: Buffer): void {
    const line = bytes.toString('latin1').trimEnd();
    if (this.#inside !== null) this.#content(line, this.#inside);
    else {
      const [begin, base64] = BEGIN.exec(line) ?? [];
      if (begin === undefined) this.#before?.push(bytes);
      else {
        this.#inside = base64 === undefined ? 'historical' : 'base64';
        this.#before = null;
      }
    }
  }

  #content(line: string, form: 'historical' | 'base64'): void {
    if (line === (form === 'base64' ? '====' : 'end')) this.#inside = null;
    else this.push(form === 'base64' ? Buffer.from(line, 'base64') : decodeLine(line));
  }
}

function decodeLine(line: string): Buffer {
  const value = (at: number): number => ((line.charCodeAt(at) || SPACE) - SPACE) & 0x3f;
  const length = line === '' ? 0 : value(0);
  const bytes = Buffer.alloc(Math.ceil(length / 3) * 3);
  for (let group = 0; group < bytes.length / 3; group += 1) {
    const at = 1 + group * 4;
    const bits = (value(at) << 18) | (value(at + 1) << 12) | (value(at + 2) << 6) | value(at + 3);
    bytes.writeUIntBE(bits, group * 3, 3);
  }
  return bytes.subarray(0, length);
}

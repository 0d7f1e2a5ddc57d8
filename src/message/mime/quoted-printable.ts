import { Transform, type TransformCallback } from 'node:stream';

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
 * Decodes quoted-printable (RFC 2045 section 6.7), what is malformed left as it is. Its time grows with the size alone, whatever
 * the lines are: libqp looks from each space of a run for the end of the run.
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

/** The octet that two digits at `at` stand for; null where they do not. There are programs that break lines between them. */
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

/** The same as a stream. */
export class QuotedPrintableDecoder extends Transform {
  /** What has come of a line that has no end as yet. */
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

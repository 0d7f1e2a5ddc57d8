import { pipeline } from 'node:stream/promises';
import { setImmediate } from 'node:timers/promises';
import { ByteCollector } from '../bytes.ts';
import { charsetOf, createTextDecoder, decodeText, isDecodedWhole, type TextKind } from './charset.ts';

/**
 * A decoded body with LF line ends. A large one is UTF-8 and not a string: a string has up to two bytes for each character, is
 * copied from thread to thread and into JSON, where a control character has six. Across threads it is a plain Uint8Array.
 */
export type BodyText = string | Uint8Array;

/** From so many bytes on a body stays bytes. */
export const LARGE_TEXT = 256 * 1024;
/** Bytes that are decoded at a time. */
const PIECE = 128 * 1024;
/** Bytes that are looked through in one turn of the event loop. */
const BYTES_A_TURN = 8 * 1024 * 1024;
const CR = 0x0d;
const LF = 0x0a;
const UTF_8_MARK = Buffer.from('\ufeff');
/** Designations of ISO 2022 (RFC 1468, RFC 1554), which hold until the next. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC begins them
const DESIGNATION = /\x1b(?:\$[@AB]|\$\([CD]|\([BIJ]|\.[AF])/g;

/**
 * Decodes a body.
 *
 * @param bytes without its transfer encoding
 * @param declared its charset
 */
export async function readBodyText(bytes: Buffer, declared: string | false | undefined, kind: TextKind) {
  return bytes.length < LARGE_TEXT ? readSmallText(bytes, declared, kind) : readLargeText(bytes, declared, kind);
}

export function readSmallText(bytes: Buffer, declared: string | false | undefined, kind: TextKind): string {
  return decodeText(bytes, declared, kind).replaceAll('\r\n', '\n').toWellFormed();
}

/** The same piece by piece, so that it is not in memory several times over. */
async function readLargeText(bytes: Buffer, declared: string | false | undefined, kind: TextKind): Promise<Buffer> {
  const charset = charsetOf(bytes, declared, kind);
  const text = new LfCollector();
  if (isDecodedWhole(charset)) decodeByLines(bytes, charset, text);
  else await pipeline(piecesOf(bytes), createTextDecoder(charset), source => text.addAll(source));
  return text.take();
}

/** Charsets in which a line does not depend on the one before it, but for what was designated last. */
function decodeByLines(bytes: Buffer, charset: string, text: LfCollector): void {
  let designated = '';
  for (const lines of linesOf(bytes)) {
    text.add(Buffer.from(decodeText(Buffer.concat([Buffer.from(designated, 'latin1'), lines]), charset)));
    designated = lines.toString('latin1').match(DESIGNATION)?.at(-1) ?? designated;
  }
}

function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += PIECE) yield bytes.subarray(start, start + PIECE);
}

/** Whole lines, as many as make a piece; a line that is longer is cut, between two characters where the bytes are UTF-8. */
function* linesOf(bytes: Buffer): Generator<Buffer> {
  for (let start = 0; start < bytes.length; ) {
    const most = Math.min(start + PIECE, bytes.length);
    const end = most === bytes.length ? most : bytes.lastIndexOf(LF, most - 1) + 1;
    const cut = end > start ? end : startOfCharacter(bytes, most);
    yield bytes.subarray(start, cut);
    start = cut;
  }
}

const LONGEST_CHARACTER = 4;

/** The offset at or before `at` where a character of UTF-8 begins; `at` where the bytes are something else. */
function startOfCharacter(bytes: Buffer, at: number): number {
  for (let start = at; start > at - LONGEST_CHARACTER; start -= 1) {
    if (((bytes[start] as number) & 0xc0) !== 0x80) return start;
  }
  return at;
}

/** Gathers UTF-8 without its byte order mark, and with LF for CRLF. */
class LfCollector {
  readonly #bytes = new ByteCollector();
  #isFirst = true;
  /** A CR at the end of what has come, which is left out where LF follows. */
  #hasCr = false;

  async addAll(source: AsyncIterable<Buffer | string>): Promise<void> {
    for await (const piece of source) this.add(Buffer.from(piece));
  }

  add(piece: Buffer): void {
    if (piece.length === 0) return;
    const skipped = this.#isFirst && piece.subarray(0, UTF_8_MARK.length).equals(UTF_8_MARK) ? UTF_8_MARK.length : 0;
    this.#isFirst = false;
    const text = Buffer.allocUnsafe(piece.length + 1);
    let length = 0;
    for (let at = skipped; at < piece.length; at += 1) {
      const byte = piece[at] as number;
      if (this.#hasCr && byte !== LF) text[length++] = CR;
      this.#hasCr = byte === CR;
      if (!this.#hasCr) text[length++] = byte;
    }
    this.#bytes.add(text.subarray(0, length));
  }

  take(): Buffer {
    if (this.#hasCr) this.#bytes.add(Buffer.of(CR));
    return this.#bytes.take();
  }
}

/** Several bodies one behind the other, each in lines of its own. */
export function joinTexts(texts: readonly BodyText[]): BodyText {
  const [only, ...others] = texts;
  if (only !== undefined && others.length === 0) return only;
  if (texts.every(text => typeof text === 'string')) return texts.join('\n');
  const newline = Buffer.from('\n');
  return Buffer.concat(texts.flatMap((text, index) => (index === 0 ? [bytesOf(text)] : [newline, bytesOf(text)])));
}

/** Its UTF-8; no copy where it is bytes already. */
export function bytesOf(text: BodyText): Buffer {
  if (typeof text === 'string') return Buffer.from(text);
  return Buffer.from(text.buffer, text.byteOffset, text.byteLength);
}

/** Characters of a string, or bytes: near enough to tell large from small. */
export function sizeOfText(text: BodyText | null): number {
  return text?.length ?? 0;
}

/** With pauses for others, where it is large. */
export function hasNul(text: BodyText | null): boolean | Promise<boolean> {
  return text === null || typeof text === 'string' ? text?.includes('\0') === true : hasNulByte(text);
}

async function hasNulByte(text: Uint8Array): Promise<boolean> {
  for (let start = 0; start < text.length; start += BYTES_A_TURN) {
    if (start > 0) await setImmediate();
    if (text.subarray(start, start + BYTES_A_TURN).includes(0)) return true;
  }
  return false;
}

/** A text changed by lines. A line that is too long to be looked at as a whole becomes several. */
export function mapLines(text: BodyText, change: (lines: string) => string): BodyText {
  if (typeof text === 'string') return change(text);
  const changed = new ByteCollector();
  let last = '\n';
  for (const lines of stringsOf(text)) {
    changed.add(Buffer.from(last.endsWith('\n') ? change(lines) : `\n${change(lines)}`));
    last = lines;
  }
  return changed.take();
}

/** Parts of a text as strings, each of whole lines: for what looks at lines, or at what stands in one. */
export function* stringsOf(text: BodyText): Generator<string> {
  if (typeof text === 'string') yield text;
  else for (const lines of linesOf(bytesOf(text))) yield lines.toString();
}

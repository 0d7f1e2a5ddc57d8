import { charsetOf, decodeText, isForeign, type TextKind } from '../message/text/charset.ts';

/** The bytes of a text as characters that can be searched for HTML, and edited without touching the rest. */
export interface EncodedText {
  /**
   * The text as a tokenizer shall see it. ASCII stands for itself. Each character stands for `unit` bytes, so positions in it are
   * positions in the bytes.
   */
  readonly scan: string;
  /** Bytes of one character of `scan`. */
  readonly unit: 1 | 2;
  /** The text between two positions of `scan`, as people read it. */
  slice(start: number, end: number): string;
  /** ASCII text as bytes of this encoding. */
  encode(ascii: string): Buffer;
}

const ESCAPE = 0x1b;
/** Escape sequences of ISO 2022 (RFC 1468, RFC 2237) up to the one that leads back to ASCII or its Roman sister. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC begins them
const SHIFTED = /\x1b(?:\$[@B]|\$\([@BD]|\(I)[\s\S]*?(?:\x1b\([BJ]|$)/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const ASCII_AGAIN = /^\x1b\([BJ]/;

/**
 * @param declared the charset that Content-Type names
 * @returns null for a charset that is not known, or in which HTML cannot be told from the rest
 */
export function readEncodedText(bytes: Buffer, declared: string | undefined, kind: TextKind): EncodedText | null {
  if (isForeign(declared)) return null;
  const charset = charsetOf(bytes, declared, kind);
  const encoding = encodingOf(charset);
  switch (encoding) {
    case null:
      return null;
    case 'utf-16le':
    case 'utf-16be':
      return utf16(bytes, charset, encoding);
    case 'iso-2022-jp':
      return byteText(bytes, charset, bytes.includes(ESCAPE));
    default:
      return byteText(bytes, charset, false);
  }
}

/**
 * The name of that encoding in the Encoding Standard (https://encoding.spec.whatwg.org/#names-and-labels). Of those that it
 * has, all but UTF-16 and ISO-2022-JP write ASCII as ASCII, and have none of `<`, `>`, `&`, `=`, quotes and white space in
 * the bytes of another character.
 */
function encodingOf(charset: string): string | null {
  try {
    return new TextDecoder(charset).encoding;
  } catch {
    return null;
  }
}

function byteText(bytes: Buffer, charset: string, shifts: boolean): EncodedText | null {
  const characters = bytes.toString('latin1');
  const scan = shifts ? characters.replace(SHIFTED, run => 'x'.repeat(run.length)) : characters;
  // ASCII cannot be put behind a text that is shifted to its end.
  if (shifts && !ASCII_AGAIN.test(characters.slice(characters.lastIndexOf('\x1b')))) return null;
  return {
    scan,
    unit: 1,
    slice: (start, end) => decodeText(bytes.subarray(start, end), charset),
    encode: ascii => Buffer.from(ascii, 'latin1'),
  };
}

function utf16(bytes: Buffer, charset: string, named: 'utf-16le' | 'utf-16be'): EncodedText | null {
  const mark = bytes.length >= 2 ? bytes.readUInt16BE(0) : 0;
  // Without a byte order mark, RFC 2781 and browsers differ about what `utf-16` is.
  const isMarked = mark === 0xfffe || mark === 0xfeff;
  if (bytes.length % 2 !== 0 || (!isMarked && !/[bl]e$/i.test(charset))) return null;
  const isBigEndian = isMarked ? mark === 0xfeff : named === 'utf-16be';
  const swapped = (little: Buffer) => (isBigEndian ? little.swap16() : little);
  const scan = swapped(isBigEndian ? Buffer.from(bytes) : bytes).toString('utf16le');
  return {
    scan,
    unit: 2,
    slice: (start, end) => scan.slice(start, end),
    encode: ascii => swapped(Buffer.from(ascii, 'utf16le')),
  };
}

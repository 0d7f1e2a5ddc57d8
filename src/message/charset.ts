import { isUtf8 } from 'node:buffer';
import { Transform, type TransformCallback } from 'node:stream';
import libmime from 'libmime';
import { decode } from 'libmime/lib/charset.js';

/** RFC 1428's name for text of which nothing is known but that it may have bytes beyond ASCII. */
export const UNKNOWN_8BIT = 'unknown-8bit';

const US_ASCII = /^(?:us-?)?ascii$|^ansi_x3\.4-19(?:68|86)$/i;
const UTF_8 = /^utf-?8$/i;

/** Names that Python's `email.header` writes and nobody else knows. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['big5_tw', 'big5'],
  ['eucgb2312_cn', 'gb2312'],
]);

/** The charset to read text by; US-ASCII says as little as none about the bytes that should not be there. */
export function effectiveCharset(declared: string | false | undefined): string {
  if (!declared || US_ASCII.test(declared)) return UNKNOWN_8BIT;
  return ALIASES.get(declared.toLowerCase()) ?? declared;
}

/** Decodes the bytes of a text part. Where its charset is not declared, or not known, see `decodeUnknown`. */
export function decodeText(bytes: Buffer, declared: string | undefined): string {
  const charset = effectiveCharset(declared);
  if (UTF_8.test(charset)) return bytes.toString('utf8');
  return isKnown(charset) ? decode(bytes, charset) : decodeUnknown(bytes);
}

/** `decodeText` as a stream from bytes to UTF-8. */
export function createTextDecoder(charset: string): Transform {
  return isKnown(charset) ? libmime.createDecodeStream(charset) : new UnknownDecoder();
}

/** Decodes the encoded words of a text (RFC 2047), each as `decodeText` would. Half a character of UTF-16 is none. */
export function decodeWords(text: string): string {
  return text.includes('=?') ? new WordDecoder().decodeWords(text).toWellFormed() : text;
}

class WordDecoder extends libmime.Libmime {
  override decodeWord(declared: string, encoding: string, text: string): string {
    // RFC 2231 section 5 allows a language behind an asterisk.
    const charset = effectiveCharset(declared.split('*', 1)[0]);
    if (isKnown(charset)) return super.decodeWord(charset, encoding, text);
    // `binary` gives each byte as the character of its number.
    return decodeUnknown(Buffer.from(super.decodeWord('binary', encoding, text), 'latin1'));
  }
}

function isKnown(charset: string): boolean {
  if (charset === UNKNOWN_8BIT) return false;
  return UTF_8.test(charset) || libmime.createDecodeStream(charset).supported;
}

/** UTF-8 where it is, which other text hardly ever is by chance; else windows-1252, which loses no byte. */
function decodeUnknown(bytes: Buffer): string {
  return isUtf8(bytes) ? bytes.toString('utf8') : new TextDecoder('windows-1252').decode(bytes);
}

class UnknownDecoder extends Transform {
  readonly #chunks: Buffer[] = [];

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#chunks.push(chunk);
    done();
  }

  override _flush(done: TransformCallback): void {
    done(null, Buffer.from(decodeUnknown(Buffer.concat(this.#chunks))));
  }
}

import { isUtf8 } from 'node:buffer';
import type { Transform } from 'node:stream';
import iconv from 'iconv-lite';
import libmime from 'libmime';
import { decode } from 'libmime/lib/charset.js';

/** RFC 1428's name for text of which nothing is known but that it may have bytes beyond ASCII. */
const UNKNOWN_8BIT = 'unknown-8bit';

/** HTML names its charset in its beginning; plain text at most by a byte order mark or escape sequences. */
export type TextKind = 'plain' | 'html';

const US_ASCII = /^(?:us-?)?ascii$|^ansi_x3\.4-19(?:68|86)$/i;
const UTF_8 = /^utf-?8$/i;
/** The byte order mark of one of them begins with that of UTF-16. */
const OF_FOUR_BYTES = /^(?:utf|ucs)-?(?:32|4)/i;
const ESCAPE = 0x1b;
/** ISO 2022 without a word about it (RFC 1468, RFC 1557): what the first escape sequence designates. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: ESC begins them
const DESIGNATION = /\x1b(?:\$(?:[@B]|\([@BD])|\([IJ]|\$\)C)/;
/** Beginnings and ends that Outlook Express and others put around a charset's name. */
const AROUND_NAME = /^_|\$(?:ESC|SIO)$/gi;
/** The same in an encoded word, which libmime does not take for one. */
const ODD_NAME = /=\?_?([\w-]{1,40})\$(?:ESC|SIO)\?/gi;
/** How far into HTML its charset is looked for: as browsers do (HTML, section 13.2.3.2). */
const META_WITHIN = 1024;
const COMMENTS = /<!--[\s\S]*?(?:-->|$)/g;
const XML_ENCODING = /^\s*<\?xml\s[^>]{0,200}?\bencoding\s*=\s*["']([\w.:-]{1,40})["']/i;
const META_CHARSET = /<meta\s[^>]{0,500}?charset\s*=\s*["']?\s*([\w.:-]{1,40})/i;

/** Names that Python's `email.header` writes and nobody else knows. */
const ALIASES: ReadonlyMap<string, string> = new Map([
  ['big5_tw', 'big5'],
  ['eucgb2312_cn', 'gb2312'],
]);

/** The charset to read text by; US-ASCII says as little as none about the bytes that should not be there. */
export function effectiveCharset(declared: string | false | undefined): string {
  if (!declared || US_ASCII.test(declared)) return UNKNOWN_8BIT;
  const name = declared.trim().replaceAll(AROUND_NAME, '');
  return ALIASES.get(name.toLowerCase()) ?? name;
}

/**
 * The charset of a text. A byte order mark wins over the declaration (Encoding Standard, "decode"), and a declaration that is
 * known over the bytes. Else escape sequences, valid UTF-8, or the `meta` element or XML declaration of HTML tell it. Else it is
 * windows-1252, which loses no byte.
 */
export function charsetOf(bytes: Buffer, declared: string | false | undefined, kind: TextKind = 'plain'): string {
  const charset = effectiveCharset(declared);
  const marked = OF_FOUR_BYTES.test(charset) ? null : byMark(bytes);
  return marked ?? (isKnown(charset) ? charset : guess(bytes, kind));
}

/** Whether the declared charset is one that cannot be decoded. */
export function isForeign(declared: string | false | undefined): boolean {
  const charset = effectiveCharset(declared);
  return charset !== UNKNOWN_8BIT && !isKnown(charset);
}

/** Decodes the bytes of a text part, its byte order mark not included. Where its charset is not declared, or not known, see `charsetOf`. */
export function decodeText(bytes: Buffer, declared: string | false | undefined, kind: TextKind = 'plain'): string {
  return decodeAs(bytes, charsetOf(bytes, declared, kind)).replace(/^\ufeff/, '');
}

function decodeAs(bytes: Buffer, charset: string): string {
  if (UTF_8.test(charset)) return bytes.toString('utf8');
  return sevenBitDecoder(charset)?.(bytes) ?? decode(bytes, charset);
}

/** libmime's own reader of these, and ours of those that it has not, know strings only. */
const JAPANESE = /^(?:jis|iso-?2022-?jp|eucjp)/i;

/** Whether a charset can be decoded only as a whole, or line by line. @param charset one that `charsetOf` gives */
export function isDecodedWhole(charset: string): boolean {
  return JAPANESE.test(charset) || sevenBitDecoder(charset) !== undefined;
}

/** `decodeText` as a stream from bytes to UTF-8. @param charset one that `charsetOf` gives, and that need not be decoded whole */
export function createTextDecoder(charset: string): Transform {
  return libmime.createDecodeStream(charset);
}

/** Decodes the encoded words of a text (RFC 2047), each as `decodeText` would. Half a character of UTF-16 is none. */
export function decodeWords(text: string): string {
  return text.includes('=?') ? new WordDecoder().decodeWords(text.replaceAll(ODD_NAME, '=?$1?')).toWellFormed() : text;
}

class WordDecoder extends libmime.Libmime {
  override decodeWord(declared: string, encoding: string, text: string): string {
    // RFC 2231 section 5 allows a language behind an asterisk.
    const charset = effectiveCharset(declared.split('*', 1)[0]);
    const bytes = wordBytes(encoding, text, charset);
    if (bytes === null) return super.decodeWord(charset, encoding, text);
    return decodeAs(bytes, charsetOf(bytes, charset));
  }
}

/**
 * The bytes of an encoded word that libmime cannot decode: it knows not the charset, or characters stand in it that should be
 * encoded. Those are bytes of its charset where the field was read as Latin-1 for want of a better; else they are themselves.
 *
 * @returns null where libmime can
 */
function wordBytes(encoding: string, text: string, charset: string): Buffer | null {
  const raw = /[^\0-\x7f]/.test(text);
  if (!raw && isKnown(charset) && !sevenBitDecoder(charset)) return null;
  const written = raw ? writtenBytes(text, UTF_8.test(charset)) : Buffer.from(text, 'latin1');
  if (encoding.toLowerCase() === 'b') return Buffer.from(written.toString('latin1'), 'base64');
  return unquoted(written);
}

function writtenBytes(text: string, asUtf8: boolean): Buffer {
  const bytes = Buffer.from(text, 'latin1');
  const isLatin1 = bytes.toString('latin1') === text;
  return isLatin1 && (!asUtf8 || isUtf8(bytes)) ? bytes : Buffer.from(text);
}

/** The `Q` encoding (RFC 2047 section 4.2). */
function unquoted(written: Buffer): Buffer {
  const characters = written.toString('latin1').replaceAll('_', ' ');
  const bytes = characters.replaceAll(/=([0-9a-f]{2})/gi, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1');
}

function isKnown(charset: string): boolean {
  if (charset === UNKNOWN_8BIT) return false;
  return UTF_8.test(charset) || sevenBitDecoder(charset) !== undefined || libmime.createDecodeStream(charset).supported;
}

function guess(bytes: Buffer, kind: TextKind): string {
  const designated = bytes.includes(ESCAPE) ? byDesignation(bytes) : null;
  if (designated !== null) return designated;
  // Other text than UTF-8 is hardly ever UTF-8 by chance.
  if (isUtf8(bytes)) return 'utf-8';
  return (kind === 'html' ? byMeta(bytes) : null) ?? 'windows-1252';
}

/** A byte order mark (Encoding Standard, "BOM sniff"). */
function byMark(bytes: Buffer): string | null {
  if (bytes.length >= 2 && bytes.length % 2 === 0) {
    const first = bytes.readUInt16BE(0);
    if (first === 0xfeff) return 'utf-16be';
    if (first === 0xfffe) return 'utf-16le';
  }
  return bytes.subarray(0, 3).equals(UTF_8_MARK) ? 'utf-8' : null;
}

const UTF_8_MARK = Buffer.from('\ufeff');

/** Bytes that are looked at together. */
const WINDOW = 64 * 1024;
const LONGEST_DESIGNATION = 4;

function byDesignation(bytes: Buffer): string | null {
  for (let start = bytes.indexOf(ESCAPE); start < bytes.length; start += WINDOW) {
    const [designation] = DESIGNATION.exec(bytes.toString('latin1', start, start + WINDOW + LONGEST_DESIGNATION)) ?? [];
    if (designation !== undefined) return designation.endsWith(')C') ? 'iso-2022-kr' : 'iso-2022-jp';
  }
  return null;
}

function byMeta(bytes: Buffer): string | null {
  const beginning = bytes.toString('latin1', 0, META_WITHIN).replaceAll(COMMENTS, '');
  const [, named] = META_CHARSET.exec(beginning) ?? XML_ENCODING.exec(beginning) ?? [];
  const charset = effectiveCharset(named);
  // What can be read as ASCII, up to that name, is in neither of these.
  return /^utf-?(?:16|32|7)/i.test(charset) || UTF_8.test(charset) || !isKnown(charset) ? null : charset;
}

/** Charsets that write all in ASCII, each in its own way, and that libmime leaves out. */
const DECODERS: readonly (readonly [name: RegExp, decode: (bytes: Buffer) => string])[] = [
  [/^(?:x-)?(?:unicode-(?:[12]-[01]-)?)?utf-?7$/i, bytes => iconv.decode(bytes, 'utf7')],
  [/^(?:cs)?iso-?2022-?kr$/i, decodeIso2022Kr],
  [/^hz(?:-gb-?2312)?$/i, decodeHz],
];

function sevenBitDecoder(charset: string): ((bytes: Buffer) => string) | undefined {
  return DECODERS.find(([pattern]) => pattern.test(charset))?.[1];
}

/** RFC 1557: between SO and SI, each two bytes are a character of KS X 1001, as in EUC-KR without its high bits. */
function decodeIso2022Kr(bytes: Buffer): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ESC, SO and SI are what is looked for
  const text = bytes.toString('latin1').replaceAll(/\x1b\$\)C(?:\r?\n)?/g, '');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
  return text.replaceAll(/\x0e([^\x0f\r\n]*)\x0f?/g, (_, run: string) => decode(withHighBits(run), 'euc-kr'));
}

/** RFC 1843: between `~{` and `~}`, each two bytes are a character of GB 2312; `~~` is a tilde, `~` at a line's end joins it. */
function decodeHz(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replaceAll(/~\{((?:[^~\r\n]|~[^}\r\n])*)(?:~\}|(?=[\r\n])|$)|~~|~\r?\n/g, (found, run: string | undefined) => {
      if (run !== undefined) return decode(withHighBits(run), 'gb2312');
      return found === '~~' ? '~' : '';
    });
}

function withHighBits(run: string): Buffer {
  return Buffer.from(run, 'latin1').map(byte => byte | 0x80) as Buffer;
}

/**
 * Characters that a text of one line must not have: controls, ends of lines and paragraphs, and those that turn the direction of
 * text, which disguise an address or an extension. The marks of right-to-left scripts (U+200F and the like) turn nothing else and
 * may stay. NUL is refused elsewhere.
 */
const UNFIT = /(?:(?!\0)[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069])+/gu;
const PRINTABLE = /^[ -~]*$/;

/** A text of one line as rows and header fields carry it: one space replaces each run of characters that it must not have. */
export function withoutControls(text: string): string {
  return PRINTABLE.test(text) ? text : text.replaceAll(UNFIT, ' ');
}

/** The same for a text with encoded words (RFC 2047), which is decoded only if they hide such characters. */
export function withoutHiddenControls(text: string): string {
  if (!text.includes('=?')) return withoutControls(text);
  const decoded = decodeWords(text);
  const clean = withoutControls(decoded);
  return clean === decoded ? text : clean;
}

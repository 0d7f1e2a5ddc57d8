import iconv from 'iconv-lite';
import { decode } from 'libmime/lib/charset.js';

/** Charsets that write all in ASCII, each in its own way, and that libmime leaves out. */
const DECODERS: readonly (readonly [name: RegExp, decode: (bytes: Buffer) => string])[] = [
  [/^(?:x-)?(?:unicode-(?:[12]-[01]-)?)?utf-?7$/i, bytes => iconv.decode(bytes, 'utf7')],
  [/^(?:cs)?iso-?2022-?kr$/i, decodeIso2022Kr],
  [/^hz(?:-gb-?2312)?$/i, decodeHz],
];

export function isSevenBitCharset(name: string): boolean {
  return DECODERS.some(([pattern]) => pattern.test(name));
}

/** @param name one for which `isSevenBitCharset` is true */
export function decodeSevenBit(bytes: Buffer, name: string): string {
  const [, decoder] = DECODERS.find(([pattern]) => pattern.test(name)) ?? [];
  if (decoder === undefined) throw new Error(`${name} is no such charset`);
  return decoder(bytes);
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

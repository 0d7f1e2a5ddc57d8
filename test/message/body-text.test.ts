import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import iconv from 'iconv-lite';
import { readFlowed } from '../../src/message/mime/decoders.ts';
import {
  bytesOf,
  joinTexts,
  LARGE_TEXT,
  mapLines,
  readBodyText,
  readSmallText,
} from '../../src/message/text/body-text.ts';

/** Enough of it to be no string. */
function repeated(line: string): string {
  return line.repeat(Math.ceil((3 * LARGE_TEXT) / line.length));
}

async function decoded(bytes: Buffer, charset: string | undefined): Promise<string> {
  const text = await readBodyText(bytes, charset, 'plain');
  assert.ok(text instanceof Uint8Array, 'no string');
  return bytesOf(text).toString();
}

describe('a large body', () => {
  const cases: readonly (readonly [charset: string, line: string])[] = [
    ['utf-8', 'Grüße 日本 🙂\r\n'],
    ['utf-16le', 'Grüße 日本 🙂🙂 x\r\n'],
    ['utf-16be', '🙂'],
    ['iso-8859-1', 'Grüße\r\n'],
    ['windows-874', 'สวัสดี'],
    ['shift_jis', 'ﾊﾝｶｸ 日本\r\n'],
    ['euc-jp', '日本語テキスト\r\n'],
    ['gb18030', '汉字🙂a\r\n'],
    ['big5', '漢字\r\n'],
    ['utf-7', 'Grüße 日本\r\n'],
  ];
  for (const [charset, line] of cases) {
    it(`is bytes of UTF-8, and the same as a small one: ${charset}`, async () => {
      const bytes = iconv.encode(repeated(line), charset);
      const whole = readSmallText(bytes, charset, 'plain');
      assert.equal(await decoded(bytes, charset), whole);
      assert.ok(whole.includes(line.trim()));
    });
  }

  for (const [charset, line] of [
    ['iso-2022-jp', '\x1b$B$"$$\x1b(B ascii\r\n'],
    ['iso-2022-jp', '\x1b$B$"$$\r\n$&$(\r\n'],
    ['iso-2022-kr', '\x1b$)C\x0e1[<v\x0f\r\n'],
    ['hz-gb-2312', '~{VPND~} x\r\n'],
  ] as const) {
    it(`keeps what was designated from line to line: ${charset} ${JSON.stringify(line.slice(-8))}`, async () => {
      const bytes = Buffer.from(repeated(line), 'latin1');
      assert.equal(await decoded(bytes, charset), readSmallText(bytes, charset, 'plain'));
    });
  }

  it('keeps control characters, and a CR that no LF follows', async () => {
    const text = repeated('\x01\x02\x1b\x7f\rx\r\r\n');
    assert.equal(await decoded(Buffer.from(text), 'utf-8'), text.replaceAll('\r\n', '\n'));
    assert.equal((await decoded(Buffer.from(`${repeated('x')}\r`), 'utf-8')).at(-1), '\r');
  });

  it('replaces what is no character, as a small one does', async () => {
    const bytes = Buffer.from(repeated('a\xff\xe2\x82b'), 'latin1');
    assert.equal(await decoded(bytes, 'utf-8'), readSmallText(bytes, 'utf-8', 'plain'));
    assert.equal(await decoded(bytes, undefined), readSmallText(bytes, undefined, 'plain'));
  });

  it('loses a byte order mark at its beginning, and none inside', async () => {
    const text = repeated('a\ufeffb');
    assert.equal(await decoded(Buffer.from(`\ufeff${text}`), 'utf-8'), text);
  });
});

describe('mapLines', () => {
  it('gives whole lines, and characters as they are', () => {
    const text = repeated('日本 🙂 line\n');
    const seen: string[] = [];
    const changed = mapLines(Buffer.from(text), lines => {
      seen.push(lines);
      return lines;
    });
    assert.equal(bytesOf(changed).toString(), text);
    assert.ok(seen.length > 1 && seen.every(lines => lines.endsWith('line\n')));
  });

  it('breaks a line that is too long to be looked at, between two characters', () => {
    const text = repeated('日本🙂');
    const changed = bytesOf(mapLines(Buffer.from(text), lines => lines)).toString();
    assert.equal(changed.replaceAll('\n', ''), text);
    assert.ok(changed.includes('\n'));
  });
});

it('texts are joined whichever way they are in memory', () => {
  assert.equal(joinTexts(['a', 'b']), 'a\nb');
  assert.deepEqual(joinTexts(['ä', Buffer.from('b')]), Buffer.from('ä\nb'));
});

it('a large flowed text is joined piece by piece, at the ends of paragraphs', () => {
  const paragraph = 'one two \r\nthree \r\nfour\r\n';
  const count = Math.ceil((2 * LARGE_TEXT) / paragraph.length);
  const joined = readFlowed(Buffer.from(paragraph.repeat(count))).toString();
  assert.equal(joined, Array.from({ length: count }, () => 'one twothreefour').join('\n'));
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mail, multipart } from '../support/mail.ts';
import { read } from './read-parts.ts';

const bytes = (hex: string) => Buffer.from(hex, 'hex');
const utf16le = (text: string) => Buffer.from(text, 'utf16le');

/** The bytes were written by Python's codecs. */
const CHARSETS: readonly (readonly [charset: string, encoded: Buffer, text: string])[] = [
  ['utf-8', Buffer.from('Grüße 日本 🙂'), 'Grüße 日本 🙂'],
  ['UTF8', Buffer.from('é'), 'é'],
  ['iso-8859-1', bytes('636166e9'), 'café'],
  ['iso-8859-2', bytes('a1c6'), 'ĄĆ'],
  ['iso-8859-15', bytes('a4'), '€'],
  ['windows-1250', bytes('8ea9e8'), 'Ž©č'],
  ['windows-1251', bytes('cff0e8e2e5f2'), 'Привет'],
  ['windows-1252', bytes('9380942097'), '“€” —'],
  ['windows-1255', bytes('f9ece5ed'), 'שלום'],
  ['KOI8-R', bytes('f0d2c9d7c5d4'), 'Привет'],
  ['KOI8-U', bytes('a4a6a7ad'), 'єіїґ'],
  ['ISO-2022-JP', bytes('1b2442467c4b5c386c1b2842'), '日本語'],
  ['Shift_JIS', bytes('93fa967b8cea'), '日本語'],
  ['EUC-JP', bytes('c6fccbdcb8ec'), '日本語'],
  ['GB2312', bytes('c4e3bac3'), '你好'],
  ['GB18030', bytes('c4e3bac39439da33'), '你好💩'],
  ['Big5', bytes('a741a66e'), '你好'],
  ['EUC-KR', bytes('bec8b3e7'), '안녕'],
  ['ks_c_5601-1987', bytes('bec8b3e7'), '안녕'],
  ['iso-8859-8-i', bytes('f9ece5ed'), 'שלום'],
  ['tis-620', bytes('cac7d1ca'), 'สวัส'],
];

describe('charsets', () => {
  for (const [charset, encoded, text] of CHARSETS) {
    it(`${charset} is read in eight bits, in quoted-printable and in Base64`, async () => {
      const quoted = [...encoded].map(byte => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('');
      const bodies = [
        ['8bit', encoded],
        ['quoted-printable', quoted],
        ['base64', encoded.toString('base64')],
      ] as const;
      for (const [encoding, body] of bodies) {
        for (const type of ['text/plain', 'text/html']) {
          const raw = mail(
            `Content-Type: ${type}; charset="${charset}"`,
            `Content-Transfer-Encoding: ${encoding}`,
            '',
            body,
          );
          const { text: plain, html } = await read(raw);
          assert.equal((plain ?? html)?.trimEnd(), text, `${type} in ${encoding}`);
        }
      }
    });
  }

  it('UTF-16 in Base64 is read in either byte order', async () => {
    const orders = [
      ['utf-16le', utf16le('héllo 🙂')],
      ['utf-16be', utf16le('héllo 🙂').swap16()],
      ['utf-16', utf16le('\ufeffhéllo 🙂')],
      ['utf-16', utf16le('\ufeffhéllo 🙂').swap16()],
    ] as const;
    for (const [charset, encoded] of orders) {
      const type = `Content-Type: text/plain; charset=${charset}`;
      const raw = mail(type, 'Content-Transfer-Encoding: base64', '', encoded.toString('base64'));
      assert.equal((await read(raw)).text, 'héllo 🙂');
    }
  });

  it('UTF-16 with half a surrogate pair comes out as text that Postgres can store', async () => {
    const type = 'Content-Type: text/plain; charset=utf-16le';
    const raw = mail(type, 'Content-Transfer-Encoding: base64', '', bytes('610000d86200').toString('base64'));
    assert.equal((await read(raw)).text, 'a\ufffdb');
  });

  it('each part has its own', async () => {
    const raw = multipart(
      'mixed',
      mail('Content-Type: text/plain; charset=iso-8859-1', '', bytes('e9')),
      mail('Content-Type: text/plain; charset=utf-8', '', 'é'),
      mail('Content-Type: text/plain; charset=koi8-r', '', bytes('f0')),
      mail('Content-Type: text/plain', '', 'é'),
    );
    assert.equal((await read(raw)).text, 'é\n\né\n\nП\n\né\n');
  });

  const sevenBit = [
    ['utf-7', 'Hi Mom -+Jjo--+ACE- +ZeVnLIqe-', 'Hi Mom -\u263a-! 日本語'],
    ['unicode-1-1-utf-7', '+AGEA6Q-', 'aé'],
    ['iso-2022-kr', '\x1b$)C\r\n\x0e>H3g\x0f hi \x0e>H3g\x0f', '안녕 hi 안녕'],
    ['hz-gb-2312', 'a ~{<:Ky2;S{~} ~~', 'a 己所不欲 ~'],
    ['_iso-2022-jp$ESC', '\x1b$BF|K\\\x1b(B', '日本'],
  ] as const;
  for (const [charset, encoded, text] of sevenBit) {
    it(`${charset}, which is all ASCII, is decoded`, async () => {
      const raw = mail(`Content-Type: text/plain; charset="${charset}"`, '', encoded);
      assert.equal((await read(raw)).text?.trimEnd(), text);
    });
  }

  const unnamed = [
    [
      'a meta element',
      'text/html',
      bytes('3c6d65746120636861727365743d2277696e646f77732d31323531223ecff0e8'),
      '<meta charset="windows-1251">При',
    ],
    [
      'a meta element of HTML 4',
      'text/html; charset=us-ascii',
      Buffer.concat([
        Buffer.from('<html><head>\r\n<META http-equiv="Content-Type" content="text/html; charset=koi8-r">'),
        bytes('f0d2c9'),
      ]),
      '<html><head>\n<META http-equiv="Content-Type" content="text/html; charset=koi8-r">При',
    ],
    [
      'a meta element that is wrong',
      'text/html',
      Buffer.from('<meta charset="windows-1251">é日'),
      '<meta charset="windows-1251">é日',
    ],
    [
      'a meta element of nobody',
      'text/html',
      Buffer.from('<meta charset=x-y>caf\xe9', 'latin1'),
      '<meta charset=x-y>café',
    ],
    [
      'a meta element in plain text',
      'text/plain',
      Buffer.from('<meta charset=koi8-r>\xe9', 'latin1'),
      '<meta charset=koi8-r>é',
    ],
    ['the mark of UTF-8', 'text/plain', Buffer.from('\ufeffGrüße'), 'Grüße'],
    ['the escapes of ISO-2022-JP', 'text/plain', bytes('1b2442467c4b5c1b284220 6f6b'.replaceAll(' ', '')), '日本 ok'],
    [
      'the escapes of ISO-2022-JP in HTML',
      'text/html',
      bytes('3c703e1b244a'.replace('4a', '42467c4b5c1b2842')),
      '<p>日本',
    ],
    ['the escapes of ISO-2022-KR', 'text/plain', Buffer.from('\x1b$)C\x0e>H3g\x0f', 'latin1'), '안녕'],
  ] as const;
  for (const [what, type, encoded, text] of unnamed) {
    it(`is known by ${what}, where no header names it`, async () => {
      const raw = mail(`Content-Type: ${type}`, '', encoded);
      const { text: plain, html } = await read(raw);
      assert.equal((plain ?? html)?.trimEnd(), text);
      const whole = await read(multipart('mixed', raw, mail('Content-Type: image/png', '', 'x')));
      assert.equal((whole.text ?? whole.html)?.trimEnd(), text);
    });
  }

  it('UTF-16 is known by its mark, where no header names it', async () => {
    for (const encoded of [utf16le('\ufeffhéllo'), utf16le('\ufeffhéllo').swap16()]) {
      const raw = mail('Content-Type: text/plain', 'Content-Transfer-Encoding: base64', '', encoded.toString('base64'));
      assert.equal((await read(raw)).text, 'héllo');
    }
  });

  // What is not UTF-8 there is nearly always Windows' or a printer's; as windows-1252 no byte is lost.
  const undeclared = [
    ['none', 'Content-Type: text/plain'],
    ['no Content-Type at all', 'X: y'],
    ['us-ascii', 'Content-Type: text/plain; charset=us-ascii'],
    ['an unknown one', 'Content-Type: text/plain; charset=x-klingon'],
  ] as const;
  for (const [what, type] of undeclared) {
    it(`${what}: the body is UTF-8 where it is, else windows-1252`, async () => {
      assert.equal((await read(mail(type, '', 'plain'))).text, 'plain\n');
      assert.equal((await read(mail(type, '', 'é 日本'))).text, 'é 日本\n');
      assert.equal((await read(mail(type, '', bytes('636166e920938094')))).text, 'café “€”\n');
      const quoted = mail(type, 'Content-Transfer-Encoding: quoted-printable', '', 'caf=E9');
      assert.equal((await read(quoted)).text, 'café\n');
    });
  }

  it('of a body longer than a network packet are read whole', async () => {
    const text = '日本語の文章。'.repeat(20_000);
    const shiftJis = Buffer.from('93fa967b8cea82cc95b68fcd8142'.repeat(20_000), 'hex');
    assert.equal((await read(mail('Content-Type: text/plain; charset=utf-8', '', text))).text, `${text}\n`);
    assert.equal((await read(mail('Content-Type: text/plain; charset=shift_jis', '', shiftJis))).text, `${text}\n`);
  });
});

describe('what a text says of itself', () => {
  const marked = (text: string) =>
    [
      ['utf-8', Buffer.from(`\ufeff${text}`)],
      ['utf-16le', utf16le(`\ufeff${text}`)],
      ['utf-16be', utf16le(`\ufeff${text}`).swap16()],
    ] as const;

  it('by a byte order mark counts more than what is declared', async () => {
    for (const declared of [
      'utf-8',
      'windows-1252',
      'us-ascii',
      'iso-2022-jp',
      'utf-7',
      'utf-16be',
      'utf-16le',
      'x-unknown',
      '',
    ]) {
      for (const [charset, encoded] of marked('Grüße 日本')) {
        for (const type of ['text/plain', 'text/html']) {
          const field = `Content-Type: ${type}${declared && `; charset=${declared}`}`;
          const raw = mail(field, 'Content-Transfer-Encoding: base64', '', encoded.toString('base64'));
          const { text, html } = await read(raw);
          assert.equal(text ?? html, 'Grüße 日本', `${charset} declared as ${declared}`);
        }
      }
    }
  });

  it('is not UTF-16 where UTF-32 is declared', async () => {
    const encoded = Buffer.concat([bytes('fffe0000'), bytes('47000000fc000000')]);
    const raw = mail(
      'Content-Type: text/plain; charset=utf-32',
      'Content-Transfer-Encoding: base64',
      '',
      encoded.toString('base64'),
    );
    assert.equal((await read(raw)).text, 'Gü');
  });

  for (const [what, beginning] of Object.entries({
    'an XML declaration': '<?xml version="1.0" encoding="windows-1251"?><html>',
    'a meta element behind one in a comment': '<!-- <meta charset="koi8-r"> --><meta charset="windows-1251">',
    'a meta element in place of an XML declaration':
      "<?xml version='1.0' encoding='koi8-r'?><meta charset=windows-1251>",
  })) {
    it(`by ${what} is what it is read by`, async () => {
      const { html } = await read(
        mail('Content-Type: text/html', '', Buffer.concat([Buffer.from(beginning), bytes('cff0e8')])),
      );
      assert.equal(html?.trimEnd(), `${beginning}При`);
    });
  }
});

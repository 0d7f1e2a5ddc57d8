import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mail, multipart } from '../support/mail.ts';
import { PARTS_OPTIONS, read } from './read-parts.ts';

const TEXT = mail('Content-Type: text/plain', '', 'text');
const PNG = mail('Content-Type: image/png', '', 'png');

describe('media types', () => {
  const asText = [
    'text',
    'html',
    'text\\html',
    'text/',
    '/plain',
    'text/plain text/html',
    'text/plain/x',
    'multipart',
    '(c)',
    '"',
  ];
  for (const type of asText) {
    it(`that are none are text: ${type}`, async () => {
      assert.deepEqual(await read(mail(`Content-Type: ${type}`, '', 'hi')), {
        text: 'hi\n',
        html: null,
        attachments: [],
      });
    });
  }

  for (const type of [
    'TEXT / HTML',
    'text/html charset=utf-8',
    'text/html, text/plain',
    '"text/html"',
    'text/html(c)',
  ]) {
    it(`are what they begin with: ${type}`, async () => {
      const { text, html } = await read(mail(`Content-Type: ${type}`, '', '<p>'));
      assert.deepEqual([text, html], [null, '<p>\n']);
    });
  }

  it('that are none, of a file, are application/octet-stream', async () => {
    for (const disposition of ['attachment', 'inline; filename=a.pdf']) {
      const file = mail('Content-Type: pdf', `Content-Disposition: ${disposition}`, '', 'pdf');
      const { attachments } = await read(multipart('mixed', TEXT, file));
      assert.equal(attachments[0]?.content_type, 'application/octet-stream');
    }
  });

  for (const type of [
    'text/$x',
    'text/enriched',
    'text/markdown',
    'text/x-web-markdown; charset=utf-8',
    'TEXT/RICHTEXT',
  ]) {
    it(`of an unknown text are its body where there is no other: ${type}`, async () => {
      const part = mail(`Content-Type: ${type}`, '', 'héllo');
      for (const raw of [part, multipart('mixed', part, PNG), multipart('mixed', PNG, part)]) {
        for (const contents of [true, false]) {
          const { text, html, attachments } = await read(raw, { contents });
          assert.deepEqual([text?.trimEnd(), html], ['héllo', null]);
          assert.ok(attachments.every(({ content_type: found }) => found === 'image/png'));
        }
      }
    });

    it(`of an unknown text are an attachment where there is another body, or they are named: ${type}`, async () => {
      const part = mail(`Content-Type: ${type}`, '', 'x');
      const named = mail(`Content-Type: ${type}`, 'Content-Disposition: attachment; filename=a.txt', '', 'x');
      assert.equal((await read(multipart('mixed', TEXT, part))).attachments.length, 1);
      assert.equal((await read(multipart('mixed', TEXT, part))).text?.trimEnd(), 'text');
      const { text, attachments } = await read(named);
      assert.deepEqual([text, attachments[0]?.filename], [null, 'a.txt']);
    });
  }

  it('of a calendar or a card are no body', async () => {
    for (const type of ['text/calendar', 'text/vcard']) {
      assert.equal((await read(mail(`Content-Type: ${type}`, '', 'BEGIN:X'))).attachments.length, 1);
    }
  });

  it('of the version for watches are left out', async () => {
    const watch = mail('Content-Type: text/watch-html', '', '<b>');
    assert.deepEqual(
      (await read(multipart('alternative', TEXT, watch, mail('Content-Type: text/html', '', '<p>')))).attachments,
      [],
    );
  });

  it('of the AMP version of a mail are left out; a file of that type is not', async () => {
    const amp = mail('Content-Type: text/x-amp-html', '', '<html ⚡4email>');
    const html = mail('Content-Type: text/html', '', '<p>');
    assert.deepEqual(await read(multipart('alternative', TEXT, amp, html)), {
      text: 'text\n',
      html: '<p>\n',
      attachments: [],
    });
    const file = mail('Content-Type: text/x-amp-html', 'Content-Disposition: attachment; filename=a.html', '', 'x');
    assert.equal((await read(multipart('mixed', TEXT, file))).attachments.length, 1);
  });
});

describe('multiparts', () => {
  it('of a digest have messages where no type is given', async () => {
    const forwarded = mail('', 'Subject: x', '', 'hi');
    const { text, attachments } = await read(
      multipart('digest', forwarded, mail('Content-Type: text/plain', '', 'said')),
    );
    assert.deepEqual(
      attachments.map(({ content_type, filename }) => [content_type, filename]),
      [['message/rfc822', 'attachment-1.eml']],
    );
    assert.match(String(attachments[0]?.content), /^Subject: x/);
    assert.equal(text, 'said\n');
  });

  const WHOLE = ['--b', 'Content-Type: text/plain', '', 'hi', '--b--'];
  for (const type of [
    'multipart/mixed; boundary=(c)b',
    'multipart/mixed; boundary = (c) b',
    'multipart/mixed; boundary=b(c)',
    'multipart/mixed; (c) boundary=b (d)',
    'multipart(c)/mixed(d); boundary="b"(e)',
    'multipart/mixed;\r\n boundary=\r\n (c)\r\n b',
    'x-multipart/mixed; boundary=b',
    'multipart; boundary=b',
    'Multipart/; boundary=b',
    'multipart / mixed; boundary=b',
  ]) {
    it(`are read by ${JSON.stringify(type)}`, async () => {
      assert.deepEqual(await read(mail(`Content-Type: ${type}`, '', ...WHOLE)), {
        text: 'hi',
        html: null,
        attachments: [],
      });
    });
  }

  const loose: readonly (readonly [what: string, raw: Buffer, text: string])[] = [
    ['whose boundary is not named', mail('Content-Type: multipart/mixed', '', 'a', 'b'), 'a\nb\n'],
    [
      'whose boundary never comes',
      mail('Content-Type: multipart/mixed; boundary=x', '', 'a', '--y', 'b'),
      'a\n--y\nb\n',
    ],
    ['that only ends', mail('Content-Type: multipart/mixed; boundary=x', '', 'a', '--x--', 'b'), 'a\nb\n'],
    ['inside another', multipart('mixed', TEXT, mail('Content-Type: multipart/alternative', '', 'a')), 'text\n\na\n'],
    ['of an odd name', mail('Content-Type: x-multipart/foo', '', 'a'), 'a\n'],
    [
      'in another charset',
      mail('Content-Type: multipart/mixed; charset=koi8-r', '', Buffer.from('f0d2c9', 'hex')),
      'При\n',
    ],
  ];
  for (const [what, raw, text] of loose) {
    it(`without parts are text: ${what}`, async () => {
      for (const contents of [true, false]) {
        assert.deepEqual(await read(raw, { contents }), { text, html: null, attachments: [] });
      }
    });
  }

  it('without parts and without anything are nothing', async () => {
    const empty = mail('Content-Type: multipart/mixed; boundary=x', '');
    assert.deepEqual(await read(empty), { text: null, html: null, attachments: [] });
    assert.deepEqual((await read(multipart('mixed', TEXT, mail('Content-Type: x-multipart/foo', '')))).attachments, []);
  });

  it('without parts keep long runs of Base64, which are otherwise not looked at', async () => {
    const line = 'A'.repeat(76);
    const lines = Array.from({ length: 1_000 }, () => line);
    const { text } = await read(mail('Content-Type: multipart/mixed', '', ...lines), { contents: false });
    assert.equal(text, `${lines.join('\n')}\n`);
  });
});

describe('transfer encodings', () => {
  const UU = ['begin 644 cat.txt', '#0V%T', '`', 'end'];
  for (const encoding of ['x-uuencode', 'uuencode', 'X-UUE', 'x-uu']) {
    it(`${encoding} is decoded, in attachments and in texts`, async () => {
      const header = `Content-Transfer-Encoding: ${encoding}`;
      const file = mail('Content-Type: application/octet-stream; name=cat.txt', header, '', ...UU);
      const { attachments } = await read(multipart('mixed', TEXT, file));
      assert.equal(String(attachments[0]?.content), 'Cat');
      assert.equal((await read(mail(header, '', ...UU))).text, 'Cat');
    });
  }

  it('uuencode is Base64 too, and what has no beginning stays as it is', async () => {
    const file = (...lines: string[]) =>
      multipart('mixed', TEXT, mail('Content-Type: image/png', 'Content-Transfer-Encoding: x-uuencode', '', ...lines));
    for (const [lines, content] of [
      [['begin-base64 644 a.png', 'Q2F0', 'Q2F0', '===='], 'CatCat'],
      [['text before', '', 'begin 644 my file.png', '#0V%T', '`', 'end', 'text behind'], 'Cat'],
      [['#0V%T', '`', 'end'], '#0V%T\r\n`\r\nend\r\n'],
    ] as const) {
      const { attachments } = await read(file(...lines));
      assert.equal(String(attachments[0]?.content).trimEnd(), content.trimEnd());
    }
  });

  it('uuencode of any length comes out as it went in', async () => {
    for (const size of [0, 1, 2, 3, 44, 45, 46, 100, 4_000]) {
      const content = Buffer.from(Array.from({ length: size }, (_, index) => (index * 7) % 256));
      const file = mail('Content-Type: image/png', 'Content-Transfer-Encoding: x-uuencode', '', ...uuencode(content));
      assert.deepEqual((await read(file)).attachments[0]?.content, content);
    }
  });

  for (const encoding of ['"base64"', 'Base64;', ' BASE64 ']) {
    it(`${JSON.stringify(encoding)} is Base64`, async () => {
      const file = mail('Content-Type: image/png', `Content-Transfer-Encoding: ${encoding}`, '', 'Q2F0');
      assert.equal(String((await read(file)).attachments[0]?.content), 'Cat');
    });
  }

  for (const encoding of ['8-bit', '7-Bit', 'none', 'binary']) {
    it(`${encoding} is as it stands`, async () => {
      const file = mail('Content-Type: image/png', `Content-Transfer-Encoding: ${encoding}`, '', 'Q2F0');
      assert.equal(String((await read(file)).attachments[0]?.content.toString('latin1').trimEnd()), 'Q2F0');
    });
  }

  for (const encoding of ['x-yenc', 'gzip', 'base-64', 'x-binhex40']) {
    it(`${encoding} of an attachment is 554 where its content is stored`, async () => {
      const file = mail('Content-Type: image/png', `Content-Transfer-Encoding: ${encoding}`, '', 'x');
      const raw = multipart('mixed', TEXT, file);
      const expected = { code: 554, enhancedCode: '5.6.0', rule: 'transfer_encoding', message: new RegExp(encoding) };
      await assert.rejects(read(raw), expected);
      await assert.doesNotReject(read(raw, { ...PARTS_OPTIONS, contents: false }));
    });
  }
});

function uuencode(content: Buffer): string[] {
  const digit = (value: number): string => (value === 0 ? '`' : String.fromCharCode(value + 32));
  const lines: string[] = [];
  for (let start = 0; start < content.length; start += 45) {
    const line = content.subarray(start, start + 45);
    let text = digit(line.length);
    for (let at = 0; at < line.length; at += 3) {
      const [a = 0, b = 0, c = 0] = line.subarray(at, at + 3);
      text += digit(a >> 2) + digit(((a & 3) << 4) | (b >> 4)) + digit(((b & 15) << 2) | (c >> 6)) + digit(c & 63);
    }
    lines.push(text);
  }
  return ['begin 644 x', ...lines, '`', 'end'];
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readParts } from '../../src/message/mime/parts.ts';
import { countCpu } from '../support/cpu.ts';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { PARTS_OPTIONS, read } from './read-parts.ts';

const TEXT = mail('', 'text');

function nested(levels: number): Buffer {
  let part = TEXT;
  for (let level = 0; level < levels; level += 1) part = multipart('mixed', part);
  return part;
}

function attachment(bytes: number, encoding: 'base64' | '8bit' = 'base64'): Buffer {
  const content = Buffer.alloc(bytes, 'x');
  const body = encoding === 'base64' ? base64Lines(content) : content;
  return mail('Content-Type: image/png', `Content-Transfer-Encoding: ${encoding}`, '', body);
}

describe('limits of MIME', () => {
  it('nesting up to the depth is read, deeper gets 554 5.6.0', async () => {
    const mime = { ...PARTS_OPTIONS.mime, depth: 5 };
    assert.equal((await read(nested(5), { mime })).text, 'text\n');
    const expected = { code: 554, enhancedCode: '5.6.0', rule: 'mime_depth', message: /deeper than 5/ };
    await assert.rejects(read(nested(6), { mime }), expected);
  });

  it('the default depth of 100 is read', async () => {
    assert.equal((await read(nested(100))).text, 'text\n');
    await assert.rejects(read(nested(101)), { rule: 'mime_depth' });
  });

  it('as many parts as allowed are read, more get 554 5.6.0', async () => {
    const parts = (count: number) => multipart('mixed', ...Array.from({ length: count }, () => TEXT));
    const mime = { ...PARTS_OPTIONS.mime, parts: 10 };
    assert.equal((await read(parts(9), { mime })).text?.match(/text/g)?.length, 9);
    const expected = { code: 554, enhancedCode: '5.6.0', rule: 'mime_parts', message: /more than 10 MIME parts/ };
    await assert.rejects(read(parts(12), { mime }), expected);
  });

  it("a part's header that is too large gets 552 5.3.4", async () => {
    const mime = { ...PARTS_OPTIONS.mime, headerBytes: 10_000 };
    const part = (length: number) => multipart('mixed', mail(`X-Long: ${'x'.repeat(length)}`, '', 'text'));
    assert.equal((await read(part(9_900), { mime })).text, 'text\n');
    const expected = { code: 552, enhancedCode: '5.3.4', rule: 'header_size' };
    await assert.rejects(read(part(10_000), { mime }), expected);
  });

  // 3 bytes are 4 of Base64, and every attachment is padded for itself.
  for (const [what, contents, hashes] of [
    ['opensend', true, false],
    ['standalone', false, false],
    ['standalone with an idempotency key', false, true],
  ] as const) {
    it(`attachments may have exactly the limit after Base64 together, one byte more gets 552 5.3.4: ${what}`, async () => {
      const options = { ...PARTS_OPTIONS, attachmentBytes: 8_000, contents, hashes };
      const largest = multipart('mixed', TEXT, attachment(3_000), attachment(2_999, '8bit').subarray(0, -2));
      assert.equal((await readParts(largest, options)).attachments.length, 2);
      const expected = { code: 552, enhancedCode: '5.3.4', rule: 'attachment_size', message: /larger than 8000 bytes/ };
      for (const last of [attachment(3_001), attachment(3_001, '8bit')]) {
        await assert.rejects(readParts(multipart('mixed', TEXT, attachment(3_000), last), options), expected);
      }
    });
  }

  it('line breaks of Base64 do not count', async () => {
    const lines = Buffer.alloc(3_000).toString('base64').replace(/.{4}/g, '$&\r\n');
    const raw = mail('Content-Type: image/png', 'Content-Transfer-Encoding: base64', '', lines);
    for (const contents of [true, false]) {
      const options = { ...PARTS_OPTIONS, attachmentBytes: 4_000, contents };
      assert.equal((await readParts(raw, options)).attachments[0]?.size, 3_000);
      await assert.rejects(readParts(raw, { ...options, attachmentBytes: 3_999 }), { rule: 'attachment_size' });
    }
  });

  it('a multipart with an empty part, or without its closing delimiter, is read', async () => {
    assert.deepEqual(await read(multipart('mixed', mail(''))), { text: '', html: null, attachments: [] });
    const open = multipart('mixed', TEXT)
      .toString()
      .replace(/--\r\n$/, '');
    assert.equal((await read(Buffer.from(open))).text?.trim().split('\n')[0], 'text');
  });

  it('hostile structures are read within seconds', async () => {
    const hostile = [
      mail(`Content-Type: text/plain${';a=b'.repeat(200_000)}`, '', 'x'),
      mail(
        'Content-Type: multipart/mixed; boundary=b',
        '',
        ...Array.from({ length: 50_000 }, () => '--b-'),
        '--b',
        '',
        'x',
      ),
      mail(`Content-Type: text/plain; charset=${'('.repeat(500_000)}`, '', 'x'),
      mail('Content-Type: text/html', '', '<b>'.repeat(300_000)),
      mail('Content-Transfer-Encoding: quoted-printable', '', '='.repeat(1_000_000)),
    ];
    for (const raw of hostile) {
      const took = countCpu();
      await read(raw).catch(error => assert.equal(error.name, 'Refusal'));
      // What is quadratic takes minutes.
      assert.ok(took() < 30_000, `${raw.subarray(0, 40)} took ${took()} ms`);
    }
  });
});

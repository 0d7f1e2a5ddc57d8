import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { Blocks } from '../../src/message/bytes.ts';
import { Base64Lines } from '../../src/message/mime/base64.ts';
import { type MessageParts, readParts } from '../../src/message/mime/parts.ts';
import { base64Lines, mail } from '../support/mail.ts';
import { inBlocks } from './in-blocks.ts';
import { PARTS_OPTIONS, rowAttachmentsOf } from './read-parts.ts';

describe('Base64 for a JSON string', () => {
  it('has CRLF between lines of 76 characters, however its bytes come', () => {
    for (const size of [0, 1, 2, 3, 56, 57, 58, 114, 115, 58_367, 58_368, 58_369, 300_000]) {
      for (const step of [1_000, 57, 58_368, 70_000]) {
        const bytes = randomBytes(size);
        const lines = new Base64Lines();
        for (let at = 0; at < size; at += step) lines.push(bytes.subarray(at, at + step));
        const text = Buffer.concat(lines.end()).toString();
        assert.equal(JSON.parse(`"${text}"`), base64Lines(bytes), `${size} bytes by ${step}`);
      }
    }
  });

  it('is what an attachment has, also one that is written line by line', async () => {
    for (const encoding of ['base64', 'quoted-printable', '8bit']) {
      const text = 'a line of text\r\n'.repeat(2_000);
      const body = encoding === 'base64' ? base64Lines(Buffer.from(text)) : text.slice(0, -2);
      const raw = mail('Content-Type: image/png', `Content-Transfer-Encoding: ${encoding}`, '', body);
      const [attachment] = rowAttachmentsOf(await readParts(raw, PARTS_OPTIONS));
      assert.equal(attachment?.content, base64Lines(Buffer.from(text)), encoding);
    }
  });

  it('is the same for content that is written in full lines, which is not decoded', async () => {
    const full = base64Lines(randomBytes(57 * 2_000));
    const cut = base64Lines(randomBytes(57 * 2_000 + 20));
    const narrow = (
      randomBytes(57 * 2_000)
        .toString('base64')
        .match(/.{1,72}/g) ?? []
    ).join('\r\n');
    const shapes: Record<string, readonly string[]> = {
      'full lines': [PDF, '', full],
      'a last line that is not full': [PDF, '', cut],
      'narrow lines': [PDF, '', narrow],
      'two attachments': [PDF, '', cut, `--${BOUNDARY}`, PDF, '', full],
      'a short line before': [PDF, '', 'QUJD', full],
      'short lines before, which are a full one together': [PDF, '', 'QUJD'.repeat(9), 'QUJD'.repeat(10), full],
      'a short line between': [PDF, '', full, 'QUJD', full],
      'an empty line between': [PDF, '', full, '', cut],
      'padding between': [PDF, '', full, 'QQ==', full],
      'no transfer encoding': ['Content-Type: application/pdf', '', full],
      'a text for the body': ['Content-Type: text/plain\r\nContent-Transfer-Encoding: base64', '', full],
      'a text of an unknown kind': ['Content-Type: text/x-notes\r\nContent-Transfer-Encoding: base64', '', full],
      'a message within': ['Content-Type: message/rfc822', '', 'Subject: inner', PDF, '', full],
    };
    for (const [name, lines] of Object.entries(shapes)) {
      const type = `Content-Type: multipart/mixed; boundary=${BOUNDARY}`;
      const raw = mail(type, '', `--${BOUNDARY}`, ...lines, `--${BOUNDARY}--`);
      const quick = await readParts(raw, PARTS_OPTIONS);
      const decoded = await readParts(raw, { ...PARTS_OPTIONS, hashes: true });
      assert.deepEqual(told(quick), told(decoded), name);
    }
  });

  it('is found in both blocks of a message, wherever that is cut', async () => {
    const type = `Content-Type: multipart/mixed; boundary=${BOUNDARY}`;
    const content = base64Lines(randomBytes(57 * 2_000 + 20));
    const raw = mail(type, '', `--${BOUNDARY}`, PDF, '', content, `--${BOUNDARY}--`);
    const whole = await readParts(raw, PARTS_OPTIONS);
    for (let cut = 70_000; cut < 70_080; cut += 1) {
      const message = new Blocks([Buffer.from(raw.subarray(0, cut)), Buffer.from(raw.subarray(cut))]);
      const counted = await readParts(message, { ...PARTS_OPTIONS, contents: false });
      assert.deepEqual(counted.attachments, whole.attachments, `counted, cut at ${cut}`);
      assert.deepEqual(told(await readParts(message, PARTS_OPTIONS)), told(whole), `cut at ${cut}`);
      assert.equal(message.pieces.length, 2, `nobody had to join them, cut at ${cut}`);
    }
  });

  it('is the same in blocks of any size, whatever its lines', async () => {
    for (const width of [60, 72, 76, 77, 998]) {
      const type = `Content-Type: multipart/mixed; boundary=${BOUNDARY}`;
      const lines = randomBytes(200_000)
        .toString('base64')
        .match(new RegExp(`.{1,${width}}`, 'g'));
      const content = [PDF, '', ...(lines ?? [])];
      const inner = [type.replace(BOUNDARY, 'inner'), '', '--inner', ...content, '--inner--'];
      const raw = mail(type, '', `--${BOUNDARY}`, ...content, `--${BOUNDARY}`, ...inner, `--${BOUNDARY}--`);
      const decoded = await readParts(raw, { ...PARTS_OPTIONS, hashes: true });
      const sizes = decoded.attachments.map(({ size }) => size);
      for (const size of [40_000, 40_001, 131_072, 250_000]) {
        const blocks = () => inBlocks(raw, size);
        assert.deepEqual(told(await readParts(blocks(), PARTS_OPTIONS)), told(decoded), `lines of ${width} by ${size}`);
        const counted = await readParts(blocks(), { ...PARTS_OPTIONS, contents: false });
        assert.deepEqual(
          counted.attachments.map(({ size }) => size),
          sizes,
          `lines of ${width} by ${size}, counted`,
        );
      }
    }
  });

  it('is apart from the JSON where it is the largest, large, and came in full lines', async () => {
    const type = `Content-Type: multipart/mixed; boundary=${BOUNDARY}`;
    const [small, larger, largest] = [1_000, 57 * 2_000, 57 * 3_000].map(size => base64Lines(randomBytes(size)));
    const read = (...contents: (string | undefined)[]) =>
      readParts(
        mail(type, '', ...contents.flatMap(lines => [`--${BOUNDARY}`, PDF, '', lines ?? '']), `--${BOUNDARY}--`),
        PARTS_OPTIONS,
      );
    const { contentApart } = await read(small, larger, largest, small);
    assert.equal(contentApart?.index, 2);
    assert.equal(Buffer.concat(contentApart.content).toString(), largest);
    assert.equal((await read(small, small)).contentApart, undefined);
  });

  it('counts for the limit as what it is', async () => {
    const raw = mail(PDF, '', base64Lines(randomBytes(57 * 2_000)));
    const limit = 76 * 2_000;
    await readParts(raw, { ...PARTS_OPTIONS, attachmentBytes: limit });
    await assert.rejects(readParts(raw, { ...PARTS_OPTIONS, attachmentBytes: limit - 4 }), /larger than/);
  });
});

const BOUNDARY = 'a-boundary';
const PDF = 'Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64';

function told({ text, html, attachments, ...encoded }: MessageParts) {
  return { text, html, sizes: attachments.map(({ size }) => size), row: rowAttachmentsOf(encoded) };
}

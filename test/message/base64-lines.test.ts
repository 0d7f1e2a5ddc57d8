import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { Base64Lines } from '../../src/message/mime/base64.ts';
import { readParts } from '../../src/message/mime/parts.ts';
import { base64Lines, mail } from '../support/mail.ts';
import { PARTS_OPTIONS } from './read-parts.ts';

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
      const { attachmentsJson } = await readParts(raw, PARTS_OPTIONS);
      const [attachment] = JSON.parse(Buffer.from(attachmentsJson ?? '').toString());
      assert.equal(attachment.content, base64Lines(Buffer.from(text)), encoding);
    }
  });
});

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { Blocks, wholeOf } from '../../src/message/bytes.ts';
import { readHeaderFields } from '../../src/message/header/fields.ts';
import { readMessage } from '../../src/message/mime/read-message.ts';
import { Parser } from '../../src/message/parser.ts';
import { countThreadCpu } from '../support/cpu.ts';
import { base64Lines, mail, multipart } from '../support/mail.ts';
import { inBlocks } from './in-blocks.ts';
import { attachmentsOf, PARTS_OPTIONS } from './read-parts.ts';

const THREAD_BYTES = 10_000;
const IMAGE = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 251));
const TEXT = mail('Content-Type: text/plain; charset=utf-8', '', 'Grüße');

function large(): Buffer {
  const image = mail(
    'Content-Type: image/png; name="é.png"',
    'Content-ID: <a@b>',
    'Content-Transfer-Encoding: base64',
    '',
    base64Lines(IMAGE),
  );
  return multipart('mixed', TEXT, image);
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

function newParser(): Parser {
  const parser = new Parser({ threadBytes: THREAD_BYTES, threads: 1, timeout: 60_000 });
  after(() => parser.close());
  return parser;
}

function parse(parser: Parser, raw: Buffer, options: Partial<typeof PARTS_OPTIONS> = {}) {
  return parser.parse(raw, readHeaderFields(raw, 1_048_576), { ...PARTS_OPTIONS, ...options });
}

describe('the parser', () => {
  const parser = newParser();

  it('reads small messages at once, and gives the same bytes back', async () => {
    const raw = multipart('alternative', TEXT);
    const parsed = await parse(parser, raw);
    assert.equal(parsed.raw, raw);
    assert.equal(parsed.parts.text, 'Grüße\n');
  });

  it('reads large messages in a thread: bodies, attachments and the message itself come back', async () => {
    const raw = large();
    const hash = sha256(raw);
    const whole = await parse(parser, raw, { contents: false });
    assert.equal(raw.length, 0, 'the memory moved to the thread');
    const again = wholeOf(whole.raw);
    assert.equal(sha256(again), hash);
    const parsed = await parse(parser, again);
    assert.equal(parsed.raw.length, 0, 'what nobody needs any more does not come back');
    assert.equal(parsed.parts.text, 'Grüße\n');
    assert.deepEqual(attachmentsOf(parsed.parts), [
      { filename: 'é.png', content: IMAGE, content_type: 'image/png', content_id: null },
    ]);
  });

  it('reads a large message that shares its memory with others, and leaves those alone', async () => {
    const message = large();
    const shared = Buffer.concat([Buffer.from('before'), message, Buffer.from('behind')]);
    const parsed = await parse(parser, shared.subarray(6, -6), { contents: false });
    assert.deepEqual(parsed.raw, message);
    assert.deepEqual([shared.subarray(0, 6).toString(), shared.subarray(-6).toString()], ['before', 'behind']);
  });

  it('reads a message in blocks, which come back as they are where nobody has to join them', async () => {
    const blocks = () => inBlocks(large(), 100_000);
    const message = blocks();
    const fields = readHeaderFields(large(), 1_048_576);
    const whole = await parser.parse(message, fields, { ...PARTS_OPTIONS, contents: false });
    assert.ok(whole.raw instanceof Blocks);
    assert.deepEqual(
      whole.raw.pieces.map(({ length }) => length),
      [100_000, 100_000, 100_000, 100_000, 10_812],
    );
    assert.deepEqual(whole.raw.join(), large());
    assert.equal(Buffer.from(whole.sha256 ?? []).toString('hex'), sha256(large()));
    const hashed = await parser.parse(blocks(), fields, { ...PARTS_OPTIONS, contents: false, hashes: true });
    assert.deepEqual(hashed.raw, large());
    assert.equal(hashed.parts.attachments[0]?.sha256, sha256(IMAGE));
    const { raw, parts } = await parser.parse(blocks(), fields, PARTS_OPTIONS);
    assert.equal(raw.length, 0);
    assert.deepEqual(attachmentsOf(parts)[0]?.content, IMAGE);
  });

  it('reads several large messages side by side', async () => {
    const all = await Promise.all(
      Array.from({ length: 4 }, () => parse(parser, large(), { contents: false, hashes: true })),
    );
    for (const { parts } of all) assert.equal(parts.attachments[0]?.sha256, sha256(IMAGE));
  });

  it('carries a refusal out of the thread', async () => {
    const expected = {
      name: 'Refusal',
      code: 552,
      enhancedCode: '5.3.4',
      rule: 'attachment_size',
      message: /larger than 100 /,
    };
    await assert.rejects(parse(parser, large(), { attachmentBytes: 100 }), expected);
    const deep = { name: 'Refusal', code: 554, enhancedCode: '5.6.0', rule: 'mime_depth' };
    await assert.rejects(parse(parser, large(), { mime: { ...PARTS_OPTIONS.mime, depth: 0 } }), deep);
  });

  it('reads on after refusals', async () => {
    assert.equal((await parse(parser, large())).parts.text, 'Grüße\n');
  });

  it('does not hold up the event loop while a thread reads', async () => {
    const body = base64Lines(Buffer.alloc(6_000_000, 1));
    const raw = multipart('mixed', mail('Content-Type: image/png', 'Content-Transfer-Encoding: base64', '', body));
    const options = { ...PARTS_OPTIONS, hashes: true };
    const cpuHere = countThreadCpu();
    await readMessage(raw, readHeaderFields(raw, 1_048_576), options);
    const here = cpuHere();
    const cpuBeside = countThreadCpu();
    await parse(parser, raw, options);
    const beside = cpuBeside();
    assert.ok(beside < here / 2, `${beside} ms here while a thread reads, ${here} ms to read here`);
  });

  it('reads in a thread what takes long for its size, too', async () => {
    const roomy = new Parser({ threadBytes: 65_536, threads: 1, timeout: 60_000 });
    after(() => roomy.close());
    const attachment = mail('Content-Disposition: attachment; filename=a', '', 'x');
    const dear: Record<string, Buffer> = {
      'many parts': multipart('mixed', TEXT, ...Array<Buffer>(600).fill(attachment)),
      'UTF-7': mail('Content-Type: text/plain; charset=UTF-7', '', '+AGE-+AGI-\r\n'.repeat(5_000)),
      'ISO-2022-KR': mail('Content-Type: text/plain; charset=iso-2022-kr', '', 'ab'.repeat(8_000)),
    };
    for (const [what, raw] of Object.entries(dear)) {
      assert.ok(raw.length < 65_536 && roomy.needsThread(raw), what);
      const copy = Buffer.from(raw);
      const { parts } = await parse(roomy, raw);
      const here = await readMessage(copy, readHeaderFields(copy, 1_048_576), PARTS_OPTIONS);
      assert.equal(parts.text?.toString(), here.text?.toString(), what);
      assert.equal(parts.attachments.length, here.attachments.length);
    }
    assert.ok(!roomy.needsThread(multipart('mixed', TEXT, attachment)));
    assert.ok(!roomy.needsThread(Buffer.from('a'.repeat(60_000))));
  });

  it('fails what it is reading when it is closed', async () => {
    const closing = new Parser({ threadBytes: THREAD_BYTES, threads: 1, timeout: 60_000 });
    const reading = assert.rejects(parse(closing, large()));
    await closing.close();
    await reading;
  });
});

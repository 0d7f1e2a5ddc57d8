import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Admission } from '../../src/intake/admission.ts';
import { Blocks, wholeOf } from '../../src/message/bytes.ts';
import { IncomingMessage } from '../../src/smtp/data/incoming-message.ts';

const UNLIMITED = { messageBytes: 1e9, bareLineEndings: 'reject' } as const;

const HOLDER = { key: 'k', owner: 'o' };

function roomFor(bytes: number): Admission {
  return new Admission(() => ({ bytes, share: 1 }), { untilWanted: () => null });
}

function receive(text: string | Buffer, { limits = {}, room = roomFor(1e9) } = {}) {
  const message = new IncomingMessage({ ...UNLIMITED, ...limits }, room.begin(HOLDER));
  message.push(Buffer.from(text));
  assert.notEqual(message.push(Buffer.from('\r\n.\r\n')), -1);
  return message;
}

describe('IncomingMessage', () => {
  it('collects what arrives, whatever the packets are', () => {
    const text = Buffer.alloc(3_000_000, `${'0123456789'.repeat(9)}\r\n`);
    for (const size of [1_000, 65_536, 2_500_000]) {
      const message = new IncomingMessage(UNLIMITED, roomFor(1e9).begin(HOLDER));
      for (let start = 0; start < text.length; start += size) {
        assert.equal(message.push(text.subarray(start, start + size)), -1);
      }
      message.push(Buffer.from('\r\n.\r\n'));
      const { raw, longestLine } = message.take();
      assert.ok(wholeOf(raw).equals(Buffer.concat([text, Buffer.from('\r\n')])), `packets of ${size}`);
      assert.equal(longestLine, 90);
    }
  });

  it('keeps no packet alive: later changes of its memory do not show', () => {
    const packet = Buffer.from('Subject: x\r\n.\r\n');
    const message = new IncomingMessage(UNLIMITED, roomFor(1e9).begin(HOLDER));
    message.push(packet);
    packet.fill(0);
    assert.equal(message.take().raw.toString(), 'Subject: x\r\n');
  });

  it('tells where the end of data was', () => {
    const message = new IncomingMessage(UNLIMITED, roomFor(1e9).begin(HOLDER));
    assert.equal(message.push(Buffer.from('a\r\n.\r\nQUIT\r\n')), 6);
  });

  it('counts every byte against the limit: 552', () => {
    assert.equal(receive('x'.repeat(98), { limits: { messageBytes: 100 } }).take().raw.length, 100);
    assert.throws(() => receive('x'.repeat(99), { limits: { messageBytes: 100 } }).take(), {
      code: 552,
      enhancedCode: '5.3.4',
    });
  });

  it('throws away what is past the limit, and what came before it', () => {
    const room = roomFor(1e9);
    const message = new IncomingMessage({ ...UNLIMITED, messageBytes: 100 }, room.begin(HOLDER));
    message.push(Buffer.alloc(90, 'x'));
    assert.equal(room.used, 90);
    assert.equal(message.isRefused, false);
    for (let count = 0; count < 10; count += 1) message.push(Buffer.alloc(1000, 'x'));
    assert.equal(message.isRefused, true);
    assert.equal(room.used, 0);
    assert.equal(message.size, 10_090);
  });

  it('takes room for its bytes: 452 where there is no room', () => {
    const room = roomFor(1000);
    const first = receive('x'.repeat(600), { room });
    assert.equal(room.used, 602);
    assert.throws(() => receive('x'.repeat(600), { room }).take(), { code: 452, enhancedCode: '4.3.1' });
    assert.equal(room.used, 602);
    first.release();
    assert.equal(room.used, 0);
    assert.equal(receive('x'.repeat(600), { room }).take().raw.length, 602);
  });

  it('holds its share until it is released, once', () => {
    const room = roomFor(1000);
    const message = receive('x'.repeat(100), { room });
    message.take();
    assert.equal(room.used, 102);
    message.release();
    message.release();
    assert.equal(room.used, 0);
  });

  it('refuses bare line ends, or mends them: 550 5.6.11', () => {
    assert.throws(() => receive('a\nb').take(), { code: 550, enhancedCode: '5.6.11' });
    const mended = receive('a\nb', { limits: { bareLineEndings: 'accept' } });
    assert.equal(mended.take().raw.toString(), 'a\r\nb\r\n');
  });

  it('refuses NUL: 554', () => {
    assert.throws(() => receive('a\0b').take(), { code: 554, enhancedCode: '5.6.0' });
    const followed = new IncomingMessage(UNLIMITED, roomFor(1e9).begin(HOLDER));
    followed.push(Buffer.from('a\r\n.\r\n\0'));
    assert.equal(followed.take().raw.toString(), 'a\r\n');
  });

  it('gives the memory of a packet back at once that it throws away', () => {
    const message = new IncomingMessage({ ...UNLIMITED, messageBytes: 100 }, roomFor(1e9).begin(HOLDER));
    message.push(Buffer.alloc(200, 'x'));
    const packet = Buffer.alloc(64 * 1024, 'x');
    message.push(packet);
    assert.equal(packet.length, 0);
  });

  it('gives the memory of a message back when it is released, which no thread may have had', () => {
    const message = receive('x'.repeat(3_000_000));
    const { raw } = message.take();
    const blocks = [...(raw as Blocks).pieces];
    message.release();
    assert.ok(blocks.length > 2 && blocks.every(({ length }) => length === 0));
  });

  it('leaves many bytes in blocks, each with memory of its own, which can move to another thread', () => {
    const { raw } = receive('x'.repeat(3_000_000)).take();
    assert.ok(raw instanceof Blocks);
    assert.equal(new Set(raw.pieces.map(({ buffer }) => buffer)).size, raw.pieces.length);
    assert.ok(raw.pieces.every(({ byteOffset }) => byteOffset === 0));
    assert.ok(raw.pieces.every(({ length }) => length <= 1_048_576));
  });
});

import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { HeldReplies } from '../../src/smtp/held-replies.ts';

/** A socket that keeps what went out, write by write. */
function socketOf(sent: string[], name: string): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      sent.push(`${name} ${chunk}`);
      done();
    },
    writev: (chunks, done) => {
      sent.push(`${name} ${chunks.map(({ chunk }) => chunk).join('')}`);
      done();
    },
  });
}

describe('HeldReplies', () => {
  it('what is said in one turn goes out at its end, to each socket at once', async () => {
    const sent: string[] = [];
    const replies = new HeldReplies();
    const [a, b] = [socketOf(sent, 'a'), socketOf(sent, 'b')];
    for (const [socket, text] of [
      [a, '1'],
      [b, '1'],
      [a, '2'],
      [b, '2'],
    ] as const) {
      replies.hold(socket);
      socket.write(text);
      await Promise.resolve();
    }
    assert.deepEqual(sent, []);
    await setImmediate();
    assert.deepEqual(sent, ['a 12', 'b 12']);
    replies.hold(a);
    a.write('3');
    await setImmediate();
    assert.deepEqual(sent.slice(2), ['a 3']);
  });

  it('sends at once what is to be out before something else', async () => {
    const sent: string[] = [];
    const replies = new HeldReplies();
    const socket = socketOf(sent, 'a');
    replies.hold(socket);
    socket.write('1');
    replies.release(socket);
    socket.write('2');
    assert.deepEqual(sent, ['a 1', 'a 2']);
    await setImmediate();
    assert.equal(socket.writableCorked, 0);
  });

  it('holds up no end', async () => {
    const sent: string[] = [];
    const replies = new HeldReplies();
    const socket = socketOf(sent, 'a');
    replies.hold(socket);
    socket.end('bye');
    assert.deepEqual(sent, ['a bye']);
    await setImmediate();
  });
});

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { createLastUsedWriter } from '../../src/store/keys/usage.ts';

function setUp(t: TestContext, write?: (ids: readonly string[]) => Promise<void>) {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let time = 1_000;
  const written: (readonly string[])[] = [];
  const lines: string[] = [];
  const writer = createLastUsedWriter({
    write: async ids => {
      written.push(ids);
      await write?.(ids);
    },
    logger: pino({ level: 'warn' }, { write: line => void lines.push(line) }),
    now: () => time,
  });
  const advance = async (milliseconds: number) => {
    time += milliseconds;
    t.mock.timers.tick(milliseconds);
    await new Promise(setImmediate);
  };
  return { writer, written, lines, advance };
}

describe('last use of keys', () => {
  it('is written in one batch, beside the path', async t => {
    const { writer, written, advance } = setUp(t);
    for (const id of ['a', 'b', 'a', 'b', 'a']) writer.mark(id);
    assert.deepEqual(written, []);
    await advance(1_000);
    assert.deepEqual(written, [['a', 'b']]);
  });

  it('is written at most once a minute a key', async t => {
    const { writer, written, advance } = setUp(t);
    for (let second = 0; second < 120; second += 1) {
      writer.mark('a');
      await advance(1_000);
    }
    assert.equal(written.length, 2);
  });

  it('is tried again after a failure, which is only logged', async t => {
    let failures = 1;
    const { writer, written, lines, advance } = setUp(t, async () => {
      if (failures-- > 0) throw new Error('database unreachable');
    });
    writer.mark('a');
    await advance(1_000);
    assert.match(lines.join(''), /database unreachable/);
    writer.mark('a');
    await advance(1_000);
    assert.deepEqual(written, [['a'], ['a']]);
  });

  it('is written at once when the relay stops', async t => {
    const { writer, written } = setUp(t);
    writer.mark('a');
    await writer.stop();
    assert.deepEqual(written, [['a']]);
  });
});

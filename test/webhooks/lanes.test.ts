import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Lanes } from '../../src/webhooks/lanes.ts';

const later = () => performance.now() + 60_000;

/** Lanes whose items end when they are told to. */
function setUp({ concurrency = 2, limit = 100 } = {}) {
  const begun: string[] = [];
  const ends = new Map<string, (wentWell: boolean | null) => void>();
  let rooms = 0;
  const lanes = new Lanes<string>({
    concurrency,
    limit,
    run: item => {
      begun.push(item);
      return new Promise(resolve => ends.set(item, resolve));
    },
    onRoom: () => {
      rooms += 1;
    },
  });
  return {
    lanes,
    begun,
    rooms: () => rooms,
    /** What a look would do. */
    bring(leased: Record<string, string[]>, beginBy = later()) {
      const asked = lanes.ask();
      lanes.add(new Map(Object.entries(leased).map(([id, items]) => [id, items.map(item => ({ item, beginBy }))])));
      return asked;
    },
    async end(item: string, wentWell: boolean | null = true) {
      ends.get(item)?.(wentWell);
      await new Promise(setImmediate);
    },
  };
}

describe('lanes', () => {
  it('work on a few items at once each, and take as many again to wait', async () => {
    const { lanes, begun, bring, end } = setUp();
    assert.deepEqual([bring({ a: ['a1', 'a2', 'a3', 'a4'], b: ['b1'] }), lanes.fullRoom], [[], 4]);
    assert.deepEqual(begun, ['a1', 'a2', 'b1']);
    assert.equal(lanes.free, 95);
    await end('a1');
    assert.deepEqual(begun, ['a1', 'a2', 'b1', 'a3']);
    assert.deepEqual(lanes.ask(), [
      { webhookId: 'a', room: 1 },
      { webhookId: 'b', room: 3 },
    ]);
  });

  it('ask for more where there was more, when half is done', async () => {
    const { bring, end, rooms } = setUp();
    bring({ full: ['1', '2', '3', '4'], few: ['5'] });
    await end('5');
    await end('1');
    assert.equal(rooms(), 0);
    await end('2');
    assert.equal(rooms(), 1);
    // It asked for two and got one: there is no more.
    assert.deepEqual(bring({ full: ['6'] }), [{ webhookId: 'full', room: 2 }]);
    for (const item of ['3', '4', '6']) await end(item);
    assert.equal(rooms(), 1);
  });

  it('ask for more where a look was cut off by the limit of all', async () => {
    const { lanes, bring, end, rooms } = setUp({ limit: 4 });
    bring({ a: ['1', '2'], b: ['3', '4'] });
    assert.equal(lanes.free, 0);
    await end('1');
    assert.equal(rooms(), 0);
    await end('3');
    assert.equal(rooms(), 1);
  });

  it('that keep failing go on with one item at a time, until one goes well', async () => {
    const { begun, lanes, bring, end } = setUp();
    bring({ a: ['1', '2', '3', '4'] });
    await end('1', false);
    assert.deepEqual(begun, ['1', '2', '3']);
    await end('2', false);
    assert.deepEqual(begun, ['1', '2', '3']);
    await end('3', false);
    assert.deepEqual(begun, ['1', '2', '3', '4']);
    assert.deepEqual(bring({ a: ['5'] }), [{ webhookId: 'a', room: 1 }]);
    await end('4', null);
    assert.deepEqual(lanes.ask(), [{ webhookId: 'a', room: 1 }]);
    await end('5');
    bring({ a: ['6', '7'] });
    assert.deepEqual(begun.slice(5), ['6', '7']);
  });

  it('forget what could not be done within its lease', () => {
    const { begun, lanes, bring } = setUp();
    bring({ a: ['1'] }, performance.now() - 1);
    assert.deepEqual([begun, lanes.free], [[], 100]);
  });

  it('give back what has not begun', async () => {
    const { lanes, bring, end } = setUp();
    bring({ a: ['1', '2', '3'], b: ['4'] });
    assert.deepEqual(lanes.clear(), ['3']);
    let idle = false;
    const ended = lanes.idle().then(() => {
      idle = true;
    });
    for (const item of ['1', '2']) await end(item);
    assert.equal(idle, false);
    await end('4');
    await ended;
    assert.equal(lanes.free, 100);
  });
});

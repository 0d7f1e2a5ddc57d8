import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { createFairScheduler, type FairSchedulerOptions } from '../../src/flow/fair-scheduler.ts';

/** Turns whose work ends when the test says so; `begun` and `running` name it. */
function createScene(options: Partial<FairSchedulerOptions> = {}) {
  const turns = createFairScheduler({ concurrency: 2, bytes: 1_000, ...options });
  const begun: string[] = [];
  const ends = new Map<string, (error?: Error) => void>();
  const add = (owner: string, name: string, bytes = 1): Promise<string> =>
    turns.add(owner, bytes, () => {
      begun.push(name);
      return new Promise((resolve, reject) => ends.set(name, error => (error ? reject(error) : resolve(name))));
    });
  const end = async (name: string, error?: Error): Promise<void> => {
    const finish = ends.get(name);
    assert.ok(finish, `${name} is not running`);
    ends.delete(name);
    finish(error);
    await turn();
  };
  return { turns, begun, add, end, running: () => [...ends.keys()] };
}

describe('createFairScheduler', () => {
  it('runs so much at once as it may, one owner in order', async () => {
    const { turns, begun, add, end } = createScene();
    const results = ['a1', 'a2', 'a3', 'a4'].map(name => add('a', name));
    assert.deepEqual(begun, ['a1', 'a2']);
    assert.equal(turns.size, 4);
    await end('a2');
    assert.deepEqual(begun, ['a1', 'a2', 'a3']);
    for (const name of ['a1', 'a3', 'a4']) await end(name);
    assert.deepEqual(await Promise.all(results), ['a1', 'a2', 'a3', 'a4']);
    assert.equal(turns.size, 0);
  });

  it('takes the one message of an owner next, however many another has', async () => {
    const { begun, add, end } = createScene();
    for (let count = 1; count <= 160; count += 1) void add('a', `a${count}`);
    void add('b', 'b1');
    await end('a1');
    assert.deepEqual(begun, ['a1', 'a2', 'b1']);
    await end('a2');
    assert.deepEqual(begun, ['a1', 'a2', 'b1', 'a3']);
  });

  it('lets go of what is called off while it waits, and of nothing that has begun', async () => {
    const { turns, begun, add, end } = createScene({ bytes: 10 });
    const calledOff = new AbortController();
    const running = add('a', 'a1', 6);
    const never = async () => assert.fail('it was called off');
    const large = assert.rejects(turns.add('b', 10, never, calledOff.signal), /no more/);
    void add('c', 'c1', 6);
    assert.deepEqual(begun, ['a1']);
    calledOff.abort(new Error('no more'));
    await large;
    await assert.rejects(turns.add('b', 1, never, calledOff.signal), /no more/);
    assert.equal(turns.size, 2);
    await end('a1');
    assert.equal(await running, 'a1');
    assert.deepEqual(begun, ['a1', 'c1']);
  });

  it('wants no more of an owner that has enough here, and of others it does', async () => {
    const { turns, add, end } = createScene({ concurrency: 1, enough: 10 });
    const calledOff = new AbortController();
    void add('a', 'a1', 12);
    assert.equal(turns.untilWanted('a'), null, 'a second one may wait, however large the first is');
    void add('a', 'a2', 2);
    const waiting = turns.add('a', 9, async () => {}, calledOff.signal);
    let wanted = 0;
    for (let count = 0; count < 2; count += 1) void turns.untilWanted('a')?.then(() => (wanted += 1));
    assert.equal(turns.untilWanted('b'), null);

    await end('a1');
    assert.ok(turns.untilWanted('a'), '11 are here');
    assert.equal(wanted, 0);
    calledOff.abort();
    await assert.rejects(waiting);
    assert.equal(turns.untilWanted('a'), null);
    assert.equal(wanted, 2);
    await end('a2');
  });

  it('gives each owner the same share', async () => {
    const { begun, add, end, running } = createScene({ concurrency: 3 });
    for (const owner of ['a', 'b', 'c']) {
      for (let count = 1; count <= 30; count += 1) void add(owner, `${owner}${count}`);
    }
    for (let count = 0; count < 33; count += 1) await end(running()[0] as string);
    for (const owner of ['a', 'b', 'c']) {
      const share = begun.filter(name => name.startsWith(owner)).length;
      assert.ok(share >= 11 && share <= 14, `${owner}: ${share}`);
    }
  });

  it('takes turns with one at a time too, and lets no stream of new owners hold up an old one', async () => {
    const { begun, add, end, running } = createScene({ concurrency: 1 });
    for (const name of ['a1', 'a2', 'a3']) void add('a', name);
    for (let count = 1; count <= 6; count += 1) {
      void add(`new${count}`, `n${count}`);
      await end(running()[0] as string);
    }
    assert.ok(begun.includes('a3'), begun.join(' '));
  });

  it('keeps within its bytes, and runs alone what is larger', async () => {
    const { begun, add, end } = createScene({ concurrency: 10, bytes: 100 });
    void add('a', 'half', 50);
    void add('b', 'huge', 300);
    assert.deepEqual(begun, ['half']);
    await end('half');
    assert.deepEqual(begun, ['half', 'huge']);
    void add('c', 'small', 1);
    assert.deepEqual(begun, ['half', 'huge'], 'nothing beside it');
    await end('huge');
    assert.deepEqual(begun, ['half', 'huge', 'small']);
  });

  it('lets smaller work pass what does not fit, but not for ever', async () => {
    const { begun, add, end, running } = createScene({ concurrency: 2, bytes: 100 });
    void add('a', 'first', 60);
    void add('b', 'large', 90);
    for (let count = 1; count <= 5; count += 1) void add('c', `c${count}`, 10);
    assert.deepEqual(begun, ['first', 'c1']);
    await end('c1');
    assert.deepEqual(begun, ['first', 'c1', 'c2'], 'the second to pass');
    await end('c2');
    assert.deepEqual(running(), ['first'], 'all wait for it now');
    await end('first');
    assert.deepEqual(running(), ['large', 'c3']);
  });

  it('hands on what work throws, and goes on', async () => {
    const { add, end, turns } = createScene({ concurrency: 1 });
    const failing = add('a', 'a1');
    const other = add('a', 'a2');
    const rejected = assert.rejects(failing, /broken/);
    await end('a1', new Error('broken'));
    await rejected;
    await end('a2');
    assert.equal(await other, 'a2');
    assert.equal(turns.size, 0);
  });

  it('has an owner rest between turns in whose way small work of others was, while others go on', async () => {
    const noticed: number[] = [];
    const strain = { noticed: (took: number) => noticed.push(took), restAfter: () => (noticed.length > 0 ? 20 : 0) };
    const { turns, begun, add, end } = createScene({ concurrency: 1, strain });
    turns.passed('b', 100);
    assert.deepEqual(noticed, [], 'nothing ran beside it');
    const results = [add('a', 'a1'), add('a', 'a2')];
    turns.passed('a', 100);
    assert.deepEqual(noticed, [], 'its own is its own affair');
    turns.passed('b', 100);
    assert.deepEqual(noticed, [100]);
    await end('a1');
    assert.deepEqual(begun, ['a1']);
    void add('b', 'b1');
    assert.deepEqual(begun, ['a1', 'b1']);
    await end('b1');
    while (begun.length < 3) await turn();
    assert.deepEqual(begun, ['a1', 'b1', 'a2']);
    await end('a2');
    await Promise.all(results);
    assert.equal(turns.size, 0);
  });

  it('lets nobody wait for a large one whose owner rests', async () => {
    const strain = { noticed: () => {}, restAfter: () => 20 };
    const { begun, add, end } = createScene({ concurrency: 2, bytes: 10, strain });
    for (const name of ['a1', 'a2']) void add('a', name, 6);
    for (const owner of ['d', 'e', 'f']) void add(owner, `${owner}1`, 3);
    await end('d1');
    await end('e1');
    assert.deepEqual(begun, ['a1', 'd1', 'e1'], 'enough has passed the large one');
    await end('a1');
    assert.deepEqual(begun, ['a1', 'd1', 'e1', 'f1']);
    await end('f1');
    while (begun.length < 5) await turn();
    assert.equal(begun[4], 'a2');
    await end('a2');
  });
});

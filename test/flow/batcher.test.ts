import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Batcher } from '../../src/flow/batcher.ts';
import { eventually } from '../support/eventually.ts';
import { StoppedClock } from '../support/time.ts';

const GONE = new Error('gone');
const REVOKED = new Error('revoked');

interface Run {
  readonly items: readonly string[];
  readonly signal: AbortSignal;
  readonly done: () => void;
  readonly fail: (error: unknown) => void;
}

/** A batcher of one batch at a time, whose runs end when the test says so, or when they are cancelled. */
function create({ obeys = true, isolates = false, patience = 60_000 } = {}) {
  const runs: Run[] = [];
  const batcher = new Batcher<string, string>({
    run: (items, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<string[]>();
      if (obeys) signal.addEventListener('abort', () => reject(signal.reason));
      runs.push({ items, signal, done: () => resolve(items.map(item => `${item}!`)), fail: reject });
      return promise;
    },
    maxItems: 10,
    interval: 0,
    concurrency: 1,
    isolates: () => isolates,
    patience,
    canLinger: reason => reason === GONE,
  });
  const run = (index: number) => eventually(() => runs[index]) as Promise<Run>;
  return { batcher, runs, run };
}

/** Milliseconds between the beginning of a batch of so many, and that of the next. */
async function pauseBehind(clock: StoppedClock, items: number): Promise<number> {
  const began: number[] = [];
  const first = Promise.withResolvers<void>();
  const batcher = new Batcher<number, null>({
    run: async batch => {
      began.push(performance.now());
      if (began.length === 1) await first.promise;
      return batch.map(() => null);
    },
    maxItems: 100,
    interval: 600,
    concurrency: 2,
  });
  const all = Array.from({ length: items }, (_, index) => batcher.add(index));
  await new Promise(setImmediate);
  all.push(batcher.add(items));
  for (; began.length < 2; await new Promise(setImmediate)) clock.pass(1);
  first.resolve();
  await Promise.all(all);
  return (began[1] as number) - (began[0] as number);
}

describe('what waits for company', () => {
  it('waits as long as it may behind many, and the less the fewer they were', async t => {
    const clock = new StoppedClock(t);
    const pauses = [await pauseBehind(clock, 50), await pauseBehind(clock, 12), await pauseBehind(clock, 2)];
    assert.deepEqual(pauses, [600, 300, 50]);
  });
});

describe('what is called off', () => {
  it('is not taken where it is so from the start', async () => {
    const { batcher, runs } = create();
    await assert.rejects(batcher.add('a', AbortSignal.abort(GONE)), GONE);
    await new Promise(setImmediate);
    assert.deepEqual(runs, []);
  });

  it('is left out while it waits, at once', async () => {
    const { batcher, run } = create();
    const first = batcher.add('a');
    const { done } = await run(0);
    const off = new AbortController();
    const [gone, other] = [batcher.add('b', off.signal), batcher.add('c')];
    off.abort(GONE);
    await assert.rejects(gone, GONE);
    done();
    assert.equal(await first, 'a!');
    const second = await run(1);
    assert.deepEqual(second.items, ['c']);
    second.done();
    assert.equal(await other, 'c!');
  });

  it('ends a batch at once where nobody else is in it', async () => {
    const { batcher, run, runs } = create();
    const offs = [new AbortController(), new AbortController()];
    const both = offs.map(({ signal }, index) => batcher.add(`${index}`, signal));
    const { signal } = await run(0);
    offs[0]?.abort(GONE);
    assert.ok(!signal.aborted);
    offs[1]?.abort(GONE);
    assert.ok(signal.aborted);
    for (const one of both) await assert.rejects(one, GONE);
    assert.equal(runs.length, 1);
  });

  it('has its batch run again without it, after a while that grows with each time', async t => {
    const clock = new StoppedClock(t);
    const { batcher, run } = create({ patience: 100 });
    const offs = Array.from({ length: 7 }, () => new AbortController());
    const all = offs.map(({ signal }, index) => batcher.add(`${index}`, signal));
    const waits = [100, 100, 100, 100, 200, 400];
    for (const [index, wait] of waits.entries()) {
      const { items, signal } = await run(index);
      assert.equal(items.length, 7 - index);
      offs[index]?.abort(GONE);
      clock.pass(wait - 1);
      assert.ok(!signal.aborted, `${index}`);
      clock.pass(1);
      await assert.rejects(all[index] as Promise<string>, GONE);
    }
    const last = await run(6);
    assert.deepEqual(last.items, ['6']);
    last.done();
    assert.equal(await all[6], '6!');
  });

  it('does not linger where it may not', async () => {
    const { batcher, run } = create();
    const off = new AbortController();
    const [revoked, other] = [batcher.add('a', off.signal), batcher.add('b')];
    const { signal } = await run(0);
    off.abort(REVOKED);
    assert.ok(signal.aborted);
    await assert.rejects(revoked, REVOKED);
    (await run(1)).done();
    assert.equal(await other, 'b!');
  });

  it('is done where it was too late', async () => {
    const { batcher, run } = create({ obeys: false });
    const off = new AbortController();
    const item = batcher.add('a', off.signal);
    const { done, signal } = await run(0);
    off.abort(GONE);
    assert.ok(signal.aborted);
    done();
    assert.equal(await item, 'a!');
    off.abort(GONE);
  });

  it('does not make another failure its own', async () => {
    const { batcher, run } = create({ obeys: false });
    const off = new AbortController();
    const items = [batcher.add('a', off.signal), batcher.add('b')];
    const { fail } = await run(0);
    off.abort(REVOKED);
    const failure = new Error('unknown');
    fail(failure);
    for (const item of items) await assert.rejects(item, failure);
  });

  it('is left out where items are tried each on its own', async () => {
    const { batcher, run } = create({ obeys: false, isolates: true });
    const off = new AbortController();
    const [gone, other] = [batcher.add('a', off.signal), batcher.add('b')];
    const { fail } = await run(0);
    off.abort(GONE);
    fail(new Error('one row'));
    await assert.rejects(gone, GONE);
    const second = await run(1);
    assert.deepEqual(second.items, ['b']);
    second.done();
    assert.equal(await other, 'b!');
  });
});

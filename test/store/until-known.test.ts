import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { type RepeatableWork, untilKnown } from '../../src/store/until-known.ts';

const lost = () => new Error('Connection terminated unexpectedly');
const refused = () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
const OPTIONS = { isFinal: (error: unknown) => error instanceof RangeError, limit: 60_000 };

/** A pool whose connections fail as listed, and are there after that; it counts those that were closed. */
function createPool(...failures: (Error | null)[]) {
  const closed: boolean[] = [];
  const connect = async () => {
    const failure = failures.shift();
    if (failure) throw failure;
    return { release: (destroy = false) => void closed.push(destroy) };
  };
  return { pool: { connect } as unknown as pg.Pool, closed };
}

/** Work that fails as listed, and succeeds after that; it notes whether it was told that it is repeated. */
function createWork(...failures: Error[]) {
  const calls: boolean[] = [];
  const work: RepeatableWork<string> = async (_, repeated) => {
    calls.push(repeated);
    const failure = failures.shift();
    if (failure) throw failure;
    return 'done';
  };
  return { work, calls };
}

describe('untilKnown', () => {
  it('does work that succeeds once, and gives the connection back', async () => {
    const { pool, closed } = createPool();
    const { work, calls } = createWork();
    assert.equal(await untilKnown(pool, work, OPTIONS), 'done');
    assert.deepEqual([calls, closed], [[false], [false]]);
  });

  it('does not try again where nothing was sent', async () => {
    const { pool } = createPool(refused());
    const { work, calls } = createWork();
    await assert.rejects(untilKnown(pool, work, OPTIONS), { code: 'ECONNREFUSED' });
    assert.deepEqual(calls, []);
  });

  it('does not try again what the database has answered, and closes the connection', async () => {
    const { pool, closed } = createPool();
    const { work, calls } = createWork(new Error('disk full'));
    await assert.rejects(untilKnown(pool, work, OPTIONS), /disk full/);
    assert.deepEqual([calls, closed], [[false], [true]]);
  });

  it('repeats work whose connection was lost, also when no other can be had at first', async () => {
    const { pool, closed } = createPool(null, refused());
    const { work, calls } = createWork(lost());
    assert.equal(await untilKnown(pool, work, OPTIONS), 'done');
    assert.deepEqual(
      [calls, closed],
      [
        [false, true],
        [true, false],
      ],
    );
  });

  it('goes on after an error that says nothing about the first try', async () => {
    const { pool } = createPool();
    const { work, calls } = createWork(lost(), new Error('disk full'));
    assert.equal(await untilKnown(pool, work, OPTIONS), 'done');
    assert.deepEqual(calls, [false, true, true]);
  });

  it('ends at an error that shows that the first try failed too', async () => {
    const { pool } = createPool();
    const { work, calls } = createWork(lost(), new RangeError('not storable'));
    await assert.rejects(untilKnown(pool, work, OPTIONS), RangeError);
    assert.deepEqual(calls, [false, true]);
  });

  it('gives up at the limit', async () => {
    // Those of half a minute.
    const { pool } = createPool(null, ...Array.from({ length: 120 }, refused));
    const { work } = createWork(lost());
    const began = performance.now();
    await assert.rejects(untilKnown(pool, work, { ...OPTIONS, limit: 600 }), { code: 'ECONNREFUSED' });
    const took = performance.now() - began;
    assert.ok(took >= 600 && took < 20_000, `${took} ms`);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import pg from 'pg';
import { OutcomeUnknown } from '../../src/postgres/errors.ts';
import { type RepeatableWork, untilKnown } from '../../src/postgres/until-known.ts';
import { eventually } from '../support/eventually.ts';

const lost = () => new Error('Connection terminated unexpectedly');
const refused = () => Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
const answer = (code: string) => Object.assign(new pg.DatabaseError(`answer ${code}`, 10, 'error'), { code });
const OPTIONS = {
  isFinal: (error: unknown) => error instanceof pg.DatabaseError && error.code === '22001',
  limit: 60_000,
  conflicts: 10,
};

/**
 * A pool whose connections fail as listed, and are there after that; it counts those that were closed.
 *
 * @param afterwards what a statement after the work's own comes to
 */
function createPool(failures: readonly (Error | null)[] = [], afterwards: () => Promise<unknown> = async () => null) {
  const left = [...failures];
  const closed: boolean[] = [];
  const connect = async () => {
    const failure = left.shift();
    if (failure) throw failure;
    const query = async (text: string) => (text === 'insert' ? null : afterwards());
    const [on, off] = [() => {}, () => {}];
    return { release: (destroy = false) => void closed.push(destroy), query, on, off, processID: null };
  };
  return { pool: { connect } as unknown as pg.Pool, closed };
}

/** Work that sends a statement and fails as listed, and succeeds after that; it notes whether it was told that it is repeated. */
function createWork(...failures: Error[]) {
  const calls: boolean[] = [];
  const work: RepeatableWork<string> = async (client, repeated) => {
    calls.push(repeated);
    await client.query('insert');
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

  it('does not try again where no connection was had', async () => {
    const { pool } = createPool([refused()]);
    const { work, calls } = createWork();
    await assert.rejects(untilKnown(pool, work, OPTIONS), { code: 'ECONNREFUSED' });
    assert.deepEqual(calls, []);
  });

  it('does not try again what failed on this side before any statement was sent', async () => {
    const { pool, closed } = createPool();
    let calls = 0;
    const work = async () => {
      calls += 1;
      throw new RangeError('Invalid string length');
    };
    await assert.rejects(untilKnown(pool, work, OPTIONS), RangeError);
    assert.deepEqual([calls, closed], [1, [true]]);
  });

  for (const code of ['53100', '42P01', '25006', '57014', 'P0001', 'XX000']) {
    it(`does not try again what the database has answered with ${code}`, async () => {
      const { pool, closed } = createPool();
      const { work, calls } = createWork(answer(code));
      await assert.rejects(untilKnown(pool, work, OPTIONS), { code });
      assert.deepEqual([calls, closed], [[false], [false]]);
    });
  }

  for (const code of ['40001', '40P01']) {
    it(`tries again at once what was rolled back for others, ${code}, as something new`, async () => {
      const took = async () => {
        const { pool } = createPool();
        const { work, calls } = createWork(answer(code), answer(code), answer(code));
        const began = performance.now();
        assert.equal(await untilKnown(pool, work, OPTIONS), 'done');
        assert.deepEqual(calls, [false, false, false, false]);
        return performance.now() - began;
      };
      // Other than after a loss, where three pauses are 750 ms. The machine may stand still now and then.
      await eventually(async () => (await took()) < 700);
    });
  }

  it('does not meet others for ever', async () => {
    const { pool } = createPool();
    const { work, calls } = createWork(...Array.from({ length: 20 }, () => answer('40001')));
    await assert.rejects(untilKnown(pool, work, OPTIONS), { code: '40001' });
    assert.equal(calls.length, 10);
  });

  it('repeats work whose connection was lost, also when no other can be had at first', async () => {
    const { pool, closed } = createPool([null, refused()]);
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

  it('repeats work whatever the error, where it is not the answer of the database', async () => {
    for (const error of [
      Object.assign(new Error('write EHOSTDOWN'), { code: 'EHOSTDOWN' }),
      Object.assign(new Error('bad record mac'), { code: 'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC' }),
      new Error('Received unexpected data'),
      // Of a pooler, and of a server that cannot tell.
      answer('08P01'),
      answer('40003'),
    ]) {
      const { pool } = createPool();
      const { work, calls } = createWork(error);
      assert.equal(await untilKnown(pool, work, OPTIONS), 'done', error.message);
      assert.deepEqual(calls, [false, true], error.message);
    }
  });

  it('repeats work whose answer ended the session: that may come behind a commit', async () => {
    const { pool, closed } = createPool([], () => Promise.reject(lost()));
    const { work, calls } = createWork(answer('57P01'));
    assert.equal(await untilKnown(pool, work, OPTIONS), 'done');
    assert.deepEqual([calls, closed[0]], [[false, true], true]);
  });

  it('goes on after an error that says nothing about the first try', async () => {
    const { pool } = createPool();
    const { work, calls } = createWork(lost(), answer('53100'));
    assert.equal(await untilKnown(pool, work, OPTIONS), 'done');
    assert.deepEqual(calls, [false, true, true]);
  });

  it('ends at an error that shows that the first try failed too', async () => {
    const { pool } = createPool();
    const { work, calls } = createWork(lost(), answer('22001'));
    await assert.rejects(untilKnown(pool, work, OPTIONS), { code: '22001' });
    assert.deepEqual(calls, [false, true]);
  });

  it('gives up at the limit, and says that it is not known', async () => {
    // Those of half a minute.
    const { pool } = createPool([null, ...Array.from({ length: 120 }, refused)]);
    const { work } = createWork(lost());
    const began = performance.now();
    await assert.rejects(untilKnown(pool, work, { ...OPTIONS, limit: 600 }), error => {
      assert.ok(error instanceof OutcomeUnknown);
      assert.equal((error.cause as { code?: string }).code, 'ECONNREFUSED');
      return true;
    });
    const took = performance.now() - began;
    assert.ok(took >= 600 && took < 20_000, `${took} ms`);
  });
});

describe('untilKnown, called off', () => {
  const reason = new Error('called off');

  it('does not begin', async () => {
    const { pool } = createPool();
    const { work, calls } = createWork();
    await assert.rejects(untilKnown(pool, work, { ...OPTIONS, signal: AbortSignal.abort(reason) }), reason);
    assert.deepEqual(calls, []);
  });

  it('waits for no connection, and gives back the one that comes later', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const pool = { connect: () => promise } as unknown as pg.Pool;
    const off = new AbortController();
    const { work, calls } = createWork();
    const running = assert.rejects(untilKnown(pool, work, { ...OPTIONS, signal: off.signal }), reason);
    off.abort(reason);
    await running;
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    resolve({ release });
    await released;
    assert.deepEqual(calls, []);
  });

  it('is done where it was too late; the connection is closed', async () => {
    const { pool, closed } = createPool();
    const off = new AbortController();
    const work = async (client: Parameters<RepeatableWork<string>>[0]) => {
      await client.query('insert');
      off.abort(reason);
      return 'done';
    };
    assert.equal(await untilKnown(pool, work, { ...OPTIONS, signal: off.signal }), 'done');
    assert.deepEqual(closed, [true]);
  });

  it('sends nothing further, and says why', async () => {
    const { pool, closed } = createPool();
    const off = new AbortController();
    const sent: string[] = [];
    const work = async (client: Parameters<RepeatableWork<string>>[0]) => {
      await client.query('begin');
      off.abort(reason);
      await client.query('insert');
      sent.push('insert');
      return 'done';
    };
    await assert.rejects(untilKnown(pool, work, { ...OPTIONS, signal: off.signal }), reason);
    assert.deepEqual([sent, closed], [[], [true]]);
  });

  it('after a loss says that it is not known, without another try', async () => {
    const { pool } = createPool();
    const { work, calls } = createWork(lost());
    await assert.rejects(untilKnown(pool, work, { ...OPTIONS, beforeRepeat: async () => false }), OutcomeUnknown);
    assert.deepEqual(calls, [false]);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type pg from 'pg';
import { pino } from 'pino';
import { WorkerHeartbeat } from '../../src/delivery/worker-heartbeat.ts';
import { beat, countLive, remove } from '../../src/store/delivery/workers.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';

const logger = pino({ level: 'silent' });
const QUICK = { interval: 30, within: 600_000 };

async function openDatabase(t: { after(fn: () => Promise<void>): void }): Promise<pg.Pool> {
  const databaseUrl = await createDatabase(t);
  const pool = openPool(databaseUrl);
  t.after(() => pool.end());
  return pool;
}

describe('the workers that live', () => {
  it('are those that were heard of lately', async t => {
    const pool = await openDatabase(t);
    for (const id of ['a', 'b', 'a']) await beat(pool, id);
    assert.equal(await countLive(pool, 20_000), 2);
    await pool.query(`update smtp_relay_workers set seen_at = now() - interval '21 seconds' where id = 'a'`);
    assert.equal(await countLive(pool, 20_000), 1);
    await beat(pool, 'a');
    assert.equal(await countLive(pool, 20_000), 2);
    await remove(pool, 'a');
    assert.equal(await countLive(pool, 20_000), 1);
  });

  it('are forgotten a day after they were killed', async t => {
    const pool = await openDatabase(t);
    for (const id of ['killed', 'b']) await beat(pool, id);
    await pool.query(`update smtp_relay_workers set seen_at = now() - interval '25 hours' where id = 'killed'`);
    await remove(pool, 'b');
    assert.equal((await pool.query('select from smtp_relay_workers')).rowCount, 0);
  });

  it('know of each other, and of one that leaves', async t => {
    const pool = await openDatabase(t);
    const [first, second] = ['1', '2'].map(
      workerId => new WorkerHeartbeat({ db: pool, workerId, logger, options: QUICK }),
    ) as [WorkerHeartbeat, WorkerHeartbeat];
    await first.start();
    assert.equal(first.liveWorkers, 1);
    await second.start();
    assert.equal(second.liveWorkers, 2);
    await eventually(() => first.liveWorkers === 2);
    await second.stop();
    await eventually(() => first.liveWorkers === 1);
    await first.stop();
    assert.equal(await countLive(pool, 20_000), 0);
  });

  it('stay as they were while the database is away', async () => {
    const db = { query: () => Promise.reject(new Error('away')) } as unknown as pg.Pool;
    const heartbeat = new WorkerHeartbeat({ db, workerId: '1', logger, options: QUICK });
    await heartbeat.start();
    assert.equal(heartbeat.liveWorkers, 1);
    await heartbeat.stop();
  });
});

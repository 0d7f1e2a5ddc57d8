import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Queryable } from '../../src/postgres/pool.ts';
import { leaseDeliveries } from '../../src/store/webhooks/leases.ts';
import { createSystem, type System } from './system.ts';

const REQUEST = { rooms: [], room: 16, limit: 1_000, leaseTime: 30_000 };
const ENDPOINTS = 20_000;

/** Deliveries of endpoints, by SQL that chooses these from `w`. */
function deliver(system: System, which: string, { status = 'pending', due = '0 s', each = 1 } = {}) {
  return system.pool.query(
    `with e as (insert into email_events (type, payload, user_id) values ('sent', '{}', 'x') returning id)
     insert into webhook_deliveries (webhook_id, event_id, attempt, status, next_retry_at)
     select w.id, e.id, 0, $1::text, case when $1::text <> 'success' then now() + $2::interval end
       from e, (select * from webhooks w ${which}) w, generate_series(1, $3::integer)`,
    [status, due, each],
  );
}

function createEndpoints(system: System, count: number) {
  return system.pool.query(
    `insert into webhooks (url, event_types, user_id) select 'https://x.test/' || n, '["*"]', 'o' || n from generate_series(1, $1::integer) n`,
    [count],
  );
}

/** How many blocks the look touches, which says what it costs however busy the machine is. */
async function blocksOf(system: System): Promise<number> {
  let blocks = Number.NaN;
  const explaining = {
    query: async (text: string, values: unknown[]) => {
      const { rows } = await system.pool.query(`explain (analyze, buffers, format json) ${text}`, values);
      const { Plan: plan } = rows[0]['QUERY PLAN'][0];
      blocks = plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
      return { rows: [] };
    },
  };
  await leaseDeliveries(explaining as unknown as Queryable, REQUEST);
  return blocks;
}

describe('a look for due deliveries', { concurrency: true }, () => {
  it('costs by what is due, not by endpoints, nor by what is done or waits for its next try', async t => {
    const system = await createSystem(t);
    await createEndpoints(system, ENDPOINTS);
    await system.pool.query('analyze');
    assert.ok((await blocksOf(system)) < 50, 'nothing there');
    await deliver(system, '', { status: 'success', each: 2 });
    await deliver(system, '', { status: 'failed', due: '1 hour' });
    await system.pool.query('vacuum analyze');
    const nothing = await blocksOf(system);
    assert.ok(nothing < 50, `nothing due: ${nothing} blocks`);
    await deliver(system, 'limit 10', { due: '-1 s' });
    const some = await blocksOf(system);
    assert.ok(some < 1_000, `ten due: ${some} blocks`);
    // They were taken by that.
    await deliver(system, `where url = 'https://x.test/7'`, { due: '-1 day', each: 50_000 });
    await system.pool.query('vacuum analyze');
    const backlog = await blocksOf(system);
    assert.ok(backlog < 20_000, `a backlog of one endpoint: ${backlog} blocks`);
  });

  it('finds every endpoint beside one that fills both ends of what is due', async t => {
    const system = await createSystem(t);
    await createEndpoints(system, 301);
    const hog = `where url = 'https://x.test/301'`;
    await deliver(system, hog, { due: '-1 day', each: 1_500 });
    await deliver(system, hog, { due: '-1 s', each: 1_500 });
    await deliver(system, hog.replace('=', '<>'), { due: '-1 hour' });
    await deliver(system, hog.replace('=', '<>'), { status: 'failed', due: '1 hour' });
    const leased = await leaseDeliveries(system.pool, REQUEST);
    assert.equal(leased.length, 16 + 300);
    assert.equal(new Set(leased.map(({ webhookId }) => webhookId)).size, 301);
    assert.equal((await leaseDeliveries(system.pool, { ...REQUEST, limit: 5 })).length, 5);
  });

  it('leaves out endpoints that are not active, and keeps to the room of each', async t => {
    const system = await createSystem(t);
    await createEndpoints(system, 3);
    await deliver(system, '', { each: 20, due: '-1 s' });
    await deliver(system, '', { each: 20, due: '-1 s', status: 'failed' });
    await system.pool.query(`update webhooks set status = 'disabled' where url = 'https://x.test/1'`);
    const { rows } = await system.pool.query(`select id from webhooks where url = 'https://x.test/2'`);
    const leased = await leaseDeliveries(system.pool, { ...REQUEST, rooms: [{ webhookId: rows[0].id, room: 3 }] });
    const counts = Map.groupBy(leased, ({ webhookId }) => webhookId);
    assert.deepEqual([...counts.values()].map(({ length }) => length).sort(), [16, 3]);
    assert.equal(counts.get(rows[0].id)?.length, 3);
  });
});

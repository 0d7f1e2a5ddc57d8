import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { createHousekeepingMetrics, Housekeeping } from '../../src/maintenance/housekeeping.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import type { RetentionPeriods } from '../../src/store/retention/retention.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';
import { withClient } from '../support/postgres-server.ts';
import { storeMessage } from '../support/stored.ts';

/** Sessions that wait for a lock. */
const WAITING = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
const FOREVER = Number.POSITIVE_INFINITY;

async function start(t: TestContext, options: { republishAfter?: number; periods?: Partial<RetentionPeriods> }) {
  const databaseUrl = await createDatabase(t);
  const pool = openPool(databaseUrl, 4);
  t.after(() => pool.end());
  const registry = createRegistry();
  const lines: Record<string, unknown>[] = [];
  const housekeeping = new Housekeeping({
    db: pool,
    objects: { remove: async () => [] },
    periods: { raw: FOREVER, bodies: FOREVER, events: FOREVER, deliveries: FOREVER, ...options.periods },
    republishAfter: options.republishAfter ?? 600_000,
    metrics: createHousekeepingMetrics(registry),
    logger: pino({ level: 'info' }, { write: line => void lines.push(JSON.parse(line)) }),
  });
  const rows = async (table: string) => (await pool.query(`select from ${table}`)).rowCount;
  return { databaseUrl, pool, registry, housekeeping, rows, lines };
}

describe('housekeeping', { concurrency: true }, () => {
  it('publishes lost jobs again, until it is stopped', async t => {
    const { pool, registry, housekeeping, rows } = await start(t, { republishAfter: 200 });
    await storeMessage(pool, { outboxLease: null });
    housekeeping.start();
    await eventually(async () => (await rows('smtp_relay_outbox')) === 1);
    await eventually(async () => /smtp_relay_republished_jobs_total 1\n/.test(await registry.metrics()));
    await housekeeping.stop();
    await pool.query('update smtp_relay_messages set republish_after = null');
    await pool.query('delete from smtp_relay_outbox');
    assert.equal(await rows('smtp_relay_outbox'), 0);
  });

  it('says at the start how long messages are kept', async t => {
    for (const [messages, said] of [
      [31_536_000_000, 'messages that are done are deleted 365d after they came in'],
      [FOREVER, 'messages are never deleted'],
    ] as const) {
      const { housekeeping, lines } = await start(t, { periods: { messages } });
      housekeeping.start();
      await housekeeping.stop();
      const [line] = lines.filter(({ retention }) => retention !== undefined);
      assert.ok(String(line?.['msg']).startsWith(said), JSON.stringify(lines));
    }
  });

  it('looks for lost jobs one look at a time, however long one lasts', async t => {
    const { housekeeping, databaseUrl } = await start(t, { republishAfter: 100 });
    // Beside the pool, of which all connections may wait.
    const waiting = () => withClient(databaseUrl, async other => (await other.query(WAITING)).rowCount);
    await withClient(databaseUrl, async blocker => {
      await blocker.query('begin; lock table emails');
      housekeeping.start();
      await eventually(waiting);
      // Twenty more come due.
      await sleep(2_000);
      assert.equal(await waiting(), 1);
      await blocker.query('commit');
    });
    await housekeeping.stop();
  });

  it('removes what has been kept for its time', async t => {
    const { pool, registry, housekeeping, rows } = await start(t, { periods: { raw: 1_000 } });
    const id = await storeMessage(pool);
    await pool.query(`update emails set status = 'sent' where id = $1`, [id]);
    await pool.query(`update smtp_relay_messages set created_at = now() - interval '1 min'`);
    housekeeping.start();
    await eventually(async () => (await rows('smtp_relay_messages')) === 0);
    await housekeeping.stop();
    assert.match(await registry.metrics(), /smtp_relay_retention_removed_total\{kind="raw"\} 1\n/);
    assert.equal(await rows('emails'), 1);
  });

  it('leaves the turn to another worker when it is stopped before its first look', async t => {
    const { pool, housekeeping } = await start(t, { periods: { raw: 1_000 } });
    housekeeping.start();
    await housekeeping.stop();
    assert.equal((await pool.query(`select from smtp_relay_settings where key like 'turn.%'`)).rowCount, 0);
  });
});

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { Tally } from '../../src/flow/tally.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { createSmtpMetrics } from '../../src/smtp/metrics.ts';
import { SessionKey, type SessionKeyDependencies } from '../../src/smtp/session/key.ts';
import { LoginGuard } from '../../src/smtp/session/login-guard.ts';
import { hashKey } from '../../src/store/keys/api-keys.ts';
import { FailedLogins } from '../../src/store/keys/failed-logins.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import type { TestContext } from '../support/relay.ts';

const ADDRESS = '192.0.2.7';
const limits = { failedLoginsPerAddress: 3, failedLoginsPerKey: 2, loginDelay: 200 };
const DELAYS = 'smtp_relay_login_delay_seconds';
const logger = createLogger({ level: 'silent' as never, format: 'json', destination: { write: () => {} } });

async function pool(t: TestContext): Promise<pg.Pool> {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const connectionString = await createDatabase({ after: drop => parts.defer(drop) });
  const db = openPool(connectionString, 4);
  parts.defer(() => db.end());
  return db;
}

function pod(db: pg.Pool, { period = 900_000 } = {}) {
  const registry = createRegistry();
  // Nothing that was read before is fresh any more.
  let time = 0;
  const failedLogins = new FailedLogins(db, { period: () => period, now: () => (time += 10_000) });
  const metrics = createSmtpMetrics(registry);
  const guard = new LoginGuard({ failedLogins, limits: () => limits, metrics, logger });
  const delays = async () => /_count (\d+)/.exec(await registry.getSingleMetricAsString(DELAYS))?.[1];
  return {
    guard,
    failedLogins,
    delays,
    /** A wrong key. @returns whether it was made to wait */
    async waits(address: string, key: string): Promise<boolean> {
      const [before, began] = [await delays(), performance.now()];
      await guard.failed(address, hashKey(key));
      if ((await delays()) === before) return false;
      assert.ok(performance.now() - began > limits.loginDelay - 5);
      return true;
    },
  };
}

it('failures of an address on all pods make its next wrong keys wait, whichever they are', async t => {
  const db = await pool(t);
  const pods = [pod(db), pod(db)];
  for (const [index, key] of ['a', 'b', 'c'].entries()) assert.equal(await pods[index % 2]?.waits(ADDRESS, key), false);
  for (const { waits } of pods) assert.equal(await waits(ADDRESS, 'd'), true);
  assert.equal(await pods[0]?.waits('192.0.2.8', 'e'), false, 'another address');
});

it('a key is looked up before anything waits; of an address that keeps failing, two at a time, in their order', async t => {
  const db = await pool(t);
  const { guard, delays } = pod(db);
  for (const key of ['a', 'b', 'c']) await guard.failed(ADDRESS, hashKey(key));
  const before = await delays();
  let running = 0;
  let most = 0;
  const order: number[] = [];
  const find = (index: number) => async () => {
    order.push(index);
    running += 1;
    most = Math.max(most, running);
    await delay(5);
    running -= 1;
    return index;
  };
  const found = await Promise.all(Array.from({ length: 8 }, (_, index) => guard.lookUp(ADDRESS, find(index))));
  assert.deepEqual([found, order, most], [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 6, 7], 2]);
  assert.equal(await delays(), before, 'none waited');
  await assert.rejects(
    guard.lookUp(ADDRESS, () => Promise.reject(new Error('no database'))),
    /no database/,
  );
  // Others need not take turns.
  most = 0;
  await Promise.all(Array.from({ length: 8 }, (_, index) => guard.lookUp('192.0.2.8', find(index))));
  assert.equal(most, 8);
});

it('whose a wrong key was is asked in the same turn', async t => {
  const db = await pool(t);
  const { guard } = pod(db);
  for (const key of ['a', 'b', 'c']) await guard.failed(ADDRESS, hashKey(key));
  let running = 0;
  let most = 0;
  const ask = async (): Promise<null> => {
    running += 1;
    most = Math.max(most, running);
    await delay(5);
    running -= 1;
    return null;
  };
  const keys = { hash: hashKey, findByHash: ask, findId: ask };
  const deps = { guard, intake: { keys }, live: { current: {} }, sessions: new Tally() };
  const logIn = async (password: string): Promise<void> => {
    const client = { id: password, clientAddress: ADDRESS, isNamed: true, trustedKey: () => null };
    const key = new SessionKey(client, deps as unknown as SessionKeyDependencies, { logger, knownAs() {} });
    await assert.rejects(
      key.logIn(password, async () => {}),
      /Authentication failed/,
    );
  };
  await Promise.all(Array.from({ length: 8 }, (_, index) => logIn(`wrong${index}`)));
  assert.equal(most, 2);
});

it('a wrong key waits wherever it is tried from', async t => {
  const db = await pool(t);
  const { guard, waits } = pod(db);
  for (const address of ['192.0.2.1', '192.0.2.2']) await guard.failed(address, hashKey('revoked'));
  assert.equal(await waits('192.0.2.3', 'revoked'), true);
  assert.equal(await waits('192.0.2.3', 'another'), false);
});

it('those that wait already are not joined by more than ten of their address: 454', async t => {
  const db = await pool(t);
  const { guard } = pod(db);
  for (const key of ['a', 'b', 'c']) await guard.failed(ADDRESS, hashKey(key));
  const results = await Promise.allSettled(
    Array.from({ length: 14 }, (_, key) => guard.failed(ADDRESS, hashKey(`${key}`))),
  );
  const refused = results.flatMap(result => (result.status === 'rejected' ? [result.reason] : []));
  assert.equal(refused.length, 4);
  assert.deepEqual([refused[0].code, refused[0].rule], [454, 'failed_logins']);
  assert.match(refused[0].message, /try again in 1 s$/);
  await guard.failed(ADDRESS, hashKey('later'));
});

it('failures count for a while after the last one', async t => {
  const db = await pool(t);
  const { guard, waits } = pod(db, { period: 60_000 });
  for (const key of ['a', 'b', 'c']) await guard.failed(ADDRESS, hashKey(key));
  await db.query("update smtp_relay_failed_logins set last_at = now() - interval '59 seconds'");
  assert.equal(await waits(ADDRESS, 'd'), true);
  await db.query("update smtp_relay_failed_logins set last_at = now() - interval '61 seconds'");
  assert.equal(await waits(ADDRESS, 'd'), false);
  const { rows } = await db.query('select failures from smtp_relay_failed_logins where subject = $1', [
    `address ${ADDRESS}`,
  ]);
  assert.deepEqual(rows, [{ failures: 1 }], 'counted anew');
});

it('failures of many pods at once are all counted', async t => {
  const db = await pool(t);
  const pods = Array.from({ length: 4 }, () => pod(db));
  await Promise.all(
    Array.from({ length: 100 }, (_, n) => pods[n % 4]?.failedLogins.add([`address ${n % 3}`, `key ${n % 5}`])),
  );
  const { rows } = await db.query('select sum(failures)::integer as total from smtp_relay_failed_logins');
  assert.deepEqual(rows, [{ total: 200 }]);
});

it('what was tried as a key cannot be found in the database', async t => {
  const db = await pool(t);
  const { guard } = pod(db);
  await guard.failed(ADDRESS, hashKey('my mailbox password'));
  const { rows } = await db.query<{ subject: string }>('select subject from smtp_relay_failed_logins order by subject');
  assert.deepEqual(rows[0]?.subject, `address ${ADDRESS}`);
  assert.match(rows[1]?.subject ?? '', /^key [0-9a-f]{8}$/);
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { createPool, inTransaction, kept, type PoolOptions } from '../../src/postgres/pool.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createServer, withClient } from '../support/postgres-server.ts';
import { letPass } from '../support/time.ts';

function openPool(t: TestContext, databaseUrl: string, options: Partial<PoolOptions> = {}) {
  const settings = { poolSize: 2, connectTimeout: 60_000, statementTimeout: 20_000, ...options };
  const pool = createPool({ databaseUrl, ...settings }, pino({ level: 'silent' }));
  t.after(() => pool.end());
  return pool;
}

const PATIENT = { poolSize: 2, connectTimeout: 60_000, statementTimeout: 60_000 };

describe('pool', () => {
  it('prepares its sessions: name, time-out, durable commits', async t => {
    const url = await createDatabase(t);
    await withClient(url, client =>
      client.query(
        `do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$`,
      ),
    );
    const pool = openPool(t, url);
    const { rows } = await pool.query(`select current_setting('application_name') as name,
      current_setting('statement_timeout') as timeout, current_setting('synchronous_commit') as durable`);
    assert.deepEqual(rows, [{ name: 'smtp-relay', timeout: '20s', durable: 'on' }]);
  });

  it('leaves a stronger synchronous_commit as it is', async t => {
    const url = new URL(await createDatabase(t));
    url.searchParams.set('options', '-c synchronous_commit=remote_apply');
    const pool = openPool(t, url.href);
    const { rows } = await pool.query('show synchronous_commit');
    assert.deepEqual(rows, [{ synchronous_commit: 'remote_apply' }]);
  });

  it('cancels a statement that takes too long, and goes on', async t => {
    const pool = openPool(t, await createDatabase(t), { statementTimeout: 2_000 });
    await assert.rejects(pool.query('select pg_sleep(60)'), { code: '57014' });
    assert.equal((await pool.query('select 1')).rowCount, 1);
  });

  it('repeats a single statement that was rolled back for others, and not for ever', async t => {
    const url = await createDatabase(t);
    const pool = openPool(t, url, { preparedStatements: 'on' });
    await pool.query(`
      create sequence seen;
      create function in_the_way(times integer, code text) returns bigint language plpgsql as $$
        begin
          if nextval('seen') <= times then raise exception 'in the way' using errcode = code; end if;
          return currval('seen');
        end
      $$`);
    for (const code of ['40001', '40P01']) {
      await pool.query("select setval('seen', 1, false)");
      const { rows } = await pool.query('select in_the_way($1, $2)::integer as tries', [3, code]);
      assert.deepEqual(rows, [{ tries: 4 }]);
      await pool.query("select setval('seen', 1, false)");
      await assert.rejects(pool.query('select in_the_way($1, $2)', [100, code]), { code });
    }
    await pool.query("select setval('seen', 1, false)");
    await assert.rejects(pool.query("select in_the_way(1, 'P0001')"), { code: 'P0001' });
  });

  it('survives the loss of idle and of checked-out connections', async t => {
    const url = await createDatabase(t);
    const pool = openPool(t, url);
    const [idle, busy] = await Promise.all([pool.connect(), pool.connect()]);
    idle.release();
    const lost = once(pool, 'error');
    const ended = new Promise<void>(resolve => busy.once('end', resolve));
    await withClient(url, client =>
      client.query(`select pg_terminate_backend(pid) from pg_stat_activity
                     where datname = current_database() and application_name = 'smtp-relay'`),
    );
    await Promise.all([lost, ended]);
    await assert.rejects(busy.query('select 1'));
    busy.release(true);
    await eventually(async () => (await pool.query('select 1')).rowCount === 1);
  });

  it('waits for a free connection no longer than it may', async t => {
    const pool = openPool(t, await createDatabase(t), { poolSize: 1, connectTimeout: 2_000 });
    const busy = await pool.connect();
    await assert.rejects(pool.query('select 1'), /timeout/);
    busy.release();
    assert.equal((await pool.query('select 1')).rowCount, 1);
  });

  it('waits for a server that does not answer no longer than it may', async t => {
    const silent = createTcpServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    t.after(() => void silent.close());
    const { port } = silent.address() as AddressInfo;
    const pool = openPool(t, `postgres://nobody@127.0.0.1:${port}/none`, { connectTimeout: 100 });
    await assert.rejects(pool.query('select 1'), /timeout/);
  });

  it('lets go of a statement that waits for a lock and of a connection that does not come about, and ends', async t => {
    const url = await createDatabase(t);
    const silent = createTcpServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    t.after(() => void silent.close());
    const { port } = silent.address() as AddressInfo;
    await withClient(url, async other => {
      await other.query('begin; lock table emails in access exclusive mode');
      const pool = createPool({ ...PATIENT, databaseUrl: url }, pino({ level: 'silent' }));
      const connecting = createPool(
        { ...PATIENT, databaseUrl: `postgres://nobody@127.0.0.1:${port}/none` },
        pino({ level: 'silent' }),
      );
      const asked = [
        assert.rejects(pool.query('select from emails')),
        pool.connect().then(client => assert.rejects(client.query('select from emails')).then(() => client.release())),
        assert.rejects(connecting.query('select 1')),
      ];
      const waiting = () =>
        withClient(
          url,
          async client =>
            (
              await client.query(
                `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
              )
            ).rowCount,
        );
      await eventually(async () => (await waiting()) === 2);
      await eventually(() => connecting.totalCount === 1);
      const ended = [pool.letGo(), connecting.letGo(), ...asked];
      await Promise.all(ended);
      await assert.rejects(pool.query('select 1'), /the process ends/);
      await Promise.all([pool.end(), connecting.end()]);
      await eventually(async () => (await waiting()) === 0);
    });
  });
});

describe('prepared statements', () => {
  for (const [preparedStatements, count] of [
    ['auto', 1],
    ['on', 3],
    ['off', 0],
  ] as const) {
    it(`are ${count}, one for each text, where they are ${preparedStatements}`, async t => {
      const pool = openPool(t, await createDatabase(t), { preparedStatements });
      for (const value of [1, 2, 3]) {
        assert.deepEqual((await pool.query('select $1::integer as value', [value])).rows, [{ value }]);
        assert.deepEqual((await pool.query(kept('select $1::integer as kept', [value]))).rows, [{ kept: value }]);
      }
      assert.deepEqual((await pool.query('select $1::text as text', ['a'])).rows, [{ text: 'a' }]);
      const { rows } = await pool.query("select name from pg_prepared_statements where statement like 'select $1%'");
      assert.equal(rows.length, count);
    });
  }

  it('are planned anew when their table has grown', async t => {
    const pool = openPool(t, await createDatabase(t), { preparedStatements: 'auto', poolSize: 1 });
    await pool.query('create table growing (id integer primary key) with (autovacuum_enabled = off)');
    await pool.query('vacuum analyze growing');
    const find = () => pool.query(kept('select id from growing where id = $1', [1]));
    const plan = async () => {
      const { rows } = await pool.query("select name from pg_prepared_statements where statement like '%growing%'");
      return JSON.stringify((await pool.query(`explain (format json) execute ${rows[0].name}(1)`)).rows);
    };
    for (let times = 0; times < 10; times += 1) await find();
    await pool.query('insert into growing select generate_series(1, 20000)');
    assert.match(await plan(), /Seq Scan/);
    letPass(10_000);
    assert.deepEqual((await find()).rows, [{ id: 1 }]);
    assert.match(await plan(), /Index Only Scan|Index Scan|Bitmap/);
  });

  it('are planned once for all values in a transaction that says so, and there only', async t => {
    const pool = openPool(t, await createDatabase(t), { preparedStatements: 'auto', poolSize: 1 });
    const counted = kept('select $1::integer as counted', [1]);
    const plans = async () => {
      const counts =
        'select generic_plans::integer as generic, custom_plans::integer as custom from pg_prepared_statements';
      return (await pool.query(`${counts} where statement like '%as counted'`)).rows;
    };
    await inTransaction(pool, db => db.query(counted), 'generic');
    assert.deepEqual(await plans(), [{ generic: 1, custom: 0 }]);
    await inTransaction(pool, db => db.query(counted));
    await pool.query(counted);
    assert.deepEqual(await plans(), [{ generic: 1, custom: 2 }]);
  });

  it('waits where the server has no connection to spare, until it has one', async t => {
    const server = await createServer(t, { settings: { max_connections: '6', superuser_reserved_connections: '0' } });
    const [first, second] = [openPool(t, server.url('postgres'), { poolSize: 6 }), openPool(t, server.url('postgres'))];
    const held = await Promise.all(Array.from({ length: 6 }, () => first.connect()));
    const answers: unknown[] = [];
    const waiting = Promise.all(
      [1, 2, 3].map(n => second.query('select $1::integer', [n]).then(it => answers.push(it))),
    );
    await assert.rejects(
      withClient(server.url('postgres'), client => client.query('select 1')),
      { code: '53300' },
    );
    assert.equal(answers.length, 0);
    for (const client of held) client.release(true);
    await waiting;
  });

  it('says so when the server has had none for the whole time', async t => {
    const server = await createServer(t, { settings: { max_connections: '6', superuser_reserved_connections: '0' } });
    const [first, second] = [
      openPool(t, server.url('postgres'), { poolSize: 6 }),
      openPool(t, server.url('postgres'), { connectTimeout: 500 }),
    ];
    const held = await Promise.all(Array.from({ length: 6 }, () => first.connect()));
    await assert.rejects(second.query('select 1'), { code: '53300' });
    for (const client of held) client.release(true);
  });
});

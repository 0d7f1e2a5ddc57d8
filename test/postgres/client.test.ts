import assert from 'node:assert/strict';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { checkDatabase, createPool } from '../../src/postgres/pool.ts';
import { migrate } from '../../src/store/schema/migrate.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createServer, withClient } from '../support/postgres-server.ts';

const TIMES = { connectTimeout: 60_000, statementTimeout: 60_000 };

/** A file that is replaced as a whole, as mounted ones are. */
async function tokenFile(t: TestContext, first: string) {
  const directory = await mkdtemp(join(tmpdir(), 'smtp-relay-token-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, 'token');
  const write = async (token: string) => {
    await writeFile(`${path}.new`, `${token}\n`);
    await rename(`${path}.new`, path);
  };
  await write(first);
  return { path, write, remove: () => rm(path) };
}

describe('a password from a file', () => {
  it('is read at each new connection; those that are open stay', async t => {
    const server = await createServer(t);
    const { password } = new URL(server.url('postgres'));
    const file = await tokenFile(t, decodeURIComponent(password));
    const login = { url: server.url('postgres').replace(password, 'outdated'), passwordFile: file.path };
    const pool = createPool({ databaseUrl: login, poolSize: 3, ...TIMES }, pino({ level: 'silent' }));
    t.after(() => pool.end());
    const first = await pool.connect();

    await withClient(server.url('postgres'), client => client.query("alter role postgres password 'second'"));
    await assert.rejects(pool.connect(), { code: '28P01' });
    await file.write('second');
    const second = await pool.connect();
    for (const client of [first, second]) assert.equal((await client.query('select 1')).rowCount, 1);
    assert.ok((await migrate(login, { pipeline: 'standalone' })).applied.length > 0);
    first.release();
    second.release();
  });

  it('that is missing fails before anything is sent, and is found again', async t => {
    const url = await createDatabase(t);
    const { password } = new URL(url);
    const file = await tokenFile(t, decodeURIComponent(password));
    await file.remove();
    const pool = createPool(
      { databaseUrl: { url, passwordFile: file.path }, poolSize: 1, ...TIMES },
      pino({ level: 'silent' }),
    );
    t.after(() => pool.end());
    await assert.rejects(pool.query('select 1'), { code: 'ENOENT' });
    await file.write(decodeURIComponent(password));
    assert.equal((await pool.query('select 1')).rowCount, 1);
  });
});

describe('a server that becomes read-only', () => {
  it('fails the look at it, by its SQLSTATE', async t => {
    const pool = createPool({ databaseUrl: await createDatabase(t), poolSize: 1, ...TIMES }, pino({ level: 'silent' }));
    t.after(() => pool.end());
    await checkDatabase(pool);
    await pool.query('set default_transaction_read_only = on');
    await assert.rejects(checkDatabase(pool), { code: '25006' });
  });

  it('loses all connections made before, the idle and the busy ones', async t => {
    const pool = createPool({ databaseUrl: await createDatabase(t), poolSize: 3, ...TIMES }, pino({ level: 'silent' }));
    t.after(() => pool.end());
    const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
    const [idle, busy, failing] = clients;
    const removed: unknown[] = [];
    pool.on('remove', client => removed.push(client));
    idle.release();
    await failing.query('set default_transaction_read_only = on');
    await assert.rejects(failing.query('create table t ()'), { code: '25006' });
    // Nobody says so, as where an error is one of several that may be.
    failing.release();
    assert.equal((await busy.query('select 1')).rowCount, 1, 'what is under way ends');
    busy.release();
    await pool.query('create table t ()');
    // The pool says so when a connection has ended.
    await eventually(async () => removed.length === clients.length);
    assert.deepEqual(new Set(removed), new Set(clients));
  });
});

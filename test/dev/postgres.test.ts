import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { createServer, withClient } from '../support/postgres-server.ts';

const ANSWER = 'select 42 as answer';

function answer(url: string): Promise<unknown> {
  return withClient(url, async client => (await client.query(ANSWER)).rows[0]?.answer);
}

test('each test gets a migrated database of its own, gone afterwards', async t => {
  let kept = '';
  await t.test('inner', async inner => {
    kept = await createDatabase(inner);
    const { rows } = await withClient(kept, client =>
      client.query(`select to_regclass('emails') is not null as there`),
    );
    assert.deepEqual(rows, [{ there: true }]);
  });
  await assert.rejects(answer(kept), { code: '3D000' });
});

test('a server survives stop, restart and crash on the same port with its data', async t => {
  const server = await createServer(t);
  const url = await server.createDatabase('faults');
  await withClient(url, client => client.query('create table kept as select 42 as answer'));
  await server.crash();
  await assert.rejects(answer(url), { code: 'ECONNREFUSED' });
  await server.start();
  assert.equal(await withClient(url, async client => (await client.query('table kept')).rows[0]?.answer), 42);
  await server.restart();
  assert.equal(await eventually(() => answer(url)), 42);
});

test('a server whose process is killed ends, and its folders go', async t => {
  const other = await mkdtemp(join(tmpdir(), 'smtp-relay-'));
  const support = new URL('../support/postgres-server.ts', import.meta.url).href;
  const script = `
    const { startPostgres } = await import('${support}');
    const { url } = await startPostgres({ removeWhenOrphaned: ['${other}'] });
    console.log(url('postgres'));
    setInterval(() => {}, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await once(child.stdout, 'data');
  const url = String(line).trim();
  const { rows } = await withClient(url, client => client.query('show data_directory'));
  child.kill('SIGKILL');
  await eventually(() => !existsSync(other) && !existsSync(rows[0]?.data_directory));
  await assert.rejects(answer(url), { code: 'ECONNREFUSED' });
});

test('a port that is taken is told from the log', async t => {
  const server = await createServer(t);
  await assert.rejects(createServer(t, { port: server.port }), /could not bind|Address already in use/);
});

test('Postgres 15 of Debian runs beside the embedded 18', { skip: needs('postgres15') }, async t => {
  const server = await createServer(t, { version: '15' });
  const version = (client: import('pg').Client) => client.query('show server_version_num');
  const { rows } = await withClient(server.url('postgres'), version);
  assert.match(rows[0].server_version_num, /^15/);
});

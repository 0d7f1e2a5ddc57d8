import assert from 'node:assert/strict';
import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { makeAccountDirectory, postgresAccount } from '../../dev/postgres/account.ts';
import { runDemoPostgres } from '../../dev/postgres/demo.ts';
import { eventually } from '../support/eventually.ts';
import { withClient } from '../support/postgres-server.ts';

function query(port: number, password: string, sql: string): Promise<unknown[]> {
  const url = `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`;
  return withClient(url, async db => (await db.query(sql)).rows);
}

test('the data outlives a start, and each start sets the password', async t => {
  const directory = await makeAccountDirectory(postgresAccount());
  t.after(() => rm(directory, { recursive: true, force: true }));
  const port = await freePort();
  const run = async (password: string, use: () => Promise<unknown>) => {
    const stop = new AbortController();
    const env = {
      DEMO_POSTGRES_DIRECTORY: directory,
      DEMO_POSTGRES_PASSWORD: password,
      DEMO_POSTGRES_PORT: String(port),
    };
    const running = runDemoPostgres({ env, signal: stop.signal });
    try {
      await Promise.race([running, use()]);
    } finally {
      stop.abort();
      await running;
    }
  };
  await run("it's first", async () => {
    await eventually(() => query(port, "it's first", 'create table kept as select 42 as answer'));
  });
  // As a volume is after Kubernetes has given it to the pod's group.
  await chmod(join(directory, 'data'), 0o2770);
  await run('second', async () => {
    const rows = await eventually(() => query(port, 'second', 'table kept'));
    assert.deepEqual(rows, [{ answer: 42 }]);
    await assert.rejects(query(port, "it's first", 'select 1'), { code: '28P01' });
  });
});

test('what is missing is named', async () => {
  const { signal } = new AbortController();
  await assert.rejects(runDemoPostgres({ env: {}, signal }), /DEMO_POSTGRES_DIRECTORY is not set/);
  const env = { DEMO_POSTGRES_DIRECTORY: '/nowhere' };
  await assert.rejects(runDemoPostgres({ env, signal }), /DEMO_POSTGRES_PASSWORD must be set/);
});

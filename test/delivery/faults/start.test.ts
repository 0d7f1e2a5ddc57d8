import assert from 'node:assert/strict';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import type { Queryable } from '../../../src/postgres/pool.ts';
import { migrate } from '../../../src/store/schema/migrate.ts';
import { runCli } from '../../cli/run-cli.ts';
import { startTcpProxy } from '../../faults/support/tcp-proxy.ts';
import { createDatabase } from '../../support/database.ts';
import { eventually } from '../../support/eventually.ts';
import { heavyPackages, TELLS_PACKAGES } from '../../support/loaded-packages.ts';
import { createOpenSendTables } from '../../support/opensend/tables.ts';
import { withClient } from '../../support/postgres-server.ts';
import { spawnWorker } from './support/worker-process.ts';

const ENV = { SMTP_RELAY_PIPELINE: 'standalone', SMTP_RELAY_HTTP_PORT: '0', SMTP_RELAY_PUBLIC_PORT: '0' };

/** Changes with whatever changes a table, a column, an index, a function, or a row of these tables. */
const FINGERPRINT = `
  select 'class' as what, relname::text as name, xmin::text || ' ' || relfilenode as version
    from pg_class where relnamespace = 'public'::regnamespace
  union all
  select 'column', attrelid::regclass || '.' || attname, a.xmin::text
    from pg_attribute a join pg_class c on c.oid = attrelid where relnamespace = 'public'::regnamespace
  union all
  select 'schema', nspname::text, '' from pg_namespace where nspname !~ '^pg_(toast_)?temp'
  union all
  select 'email', id::text, xmin::text from emails
  order by 1, 2`;

const QUEUED = `insert into emails ("from", "to", subject, user_id) values ('a@acme.test', '["b@example.com"]', 'hello', 'acme')`;

async function assertRefuses(databaseUrl: string, pipeline: string, why: RegExp): Promise<void> {
  const fingerprint = () => withClient(databaseUrl, async client => (await client.query(FINGERPRINT)).rows);
  const before = await fingerprint();
  const { code, stdout, stderr } = await runCli(['worker'], {
    ...ENV,
    SMTP_RELAY_PIPELINE: pipeline,
    DATABASE_URL: databaseUrl,
  });
  assert.equal(code, 2, stdout + stderr);
  assert.match(stderr, why);
  assert.deepEqual(await fingerprint(), before, 'nothing has changed');
}

async function databaseWith(t: TestContext, fill: (db: Queryable, url: string) => Promise<unknown>): Promise<string> {
  const url = await createDatabase(t, { empty: true });
  await withClient(url, client => fill(client, url));
  return url;
}

describe('a worker refuses to start, says why and changes nothing', { concurrency: 2 }, () => {
  it("on an OpenSend installation's database", async t => {
    const url = await databaseWith(t, createOpenSendTables);
    await assertRefuses(url, 'standalone', /OpenSend installation/);
  });

  it('on a database that a relay uses beside OpenSend', async t => {
    const url = await databaseWith(t, async (db, databaseUrl) => {
      await createOpenSendTables(db);
      await migrate(databaseUrl, { pipeline: 'opensend' });
    });
    await assertRefuses(url, 'standalone', /SMTP_RELAY_PIPELINE=opensend/);
  });

  it('on a database of the relay in which nothing says whose worker delivers', async t => {
    const url = await databaseWith(t, async (db, databaseUrl) => {
      await migrate(databaseUrl, { pipeline: 'standalone' });
      await db.query("delete from smtp_relay_settings where key = 'pipeline'");
      await db.query(QUEUED);
    });
    await assertRefuses(url, 'standalone', /SMTP_RELAY_PIPELINE=standalone/);
  });

  it('with SMTP_RELAY_PIPELINE=opensend', async t => {
    const url = await databaseWith(t, async (db, databaseUrl) => {
      await migrate(databaseUrl, { pipeline: 'standalone' });
      await db.query(QUEUED);
    });
    await assertRefuses(url, 'opensend', /send every message twice/);
  });
});

it('a worker ends where a database that was away turns out to be an OpenSend installation', async t => {
  const url = await databaseWith(t, createOpenSendTables);
  const port = Number(new URL(url).port);
  // Nobody listens there.
  const address = await startTcpProxy(t, { host: '127.0.0.1', port: 9 });
  const worker = spawnWorker(t, { ...ENV, DATABASE_URL: address.through(url) });
  await eventually(() => worker.logs.some(({ msg }) => msg.startsWith('database unreachable')));
  address.switchTo({ host: '127.0.0.1', port });
  assert.equal(await worker.ended, 2);
});

describe('a worker starts', () => {
  it('on an empty database, which is its own from then on', async t => {
    const url = await createDatabase(t, { empty: true });
    const worker = await spawnWorker(t, { ...ENV, DATABASE_URL: url }).working();
    const { rows } = await withClient(url, client =>
      client.query("select value from smtp_relay_settings where key = 'pipeline'"),
    );
    assert.deepEqual(rows, [{ value: 'standalone' }]);
    assert.equal(await worker.end('SIGTERM'), 0);
  });

  it('without what only the inbox needs, where there is none, and without what only migrations need', async t => {
    const env = { ...ENV, ...TELLS_PACKAGES, DATABASE_URL: await createDatabase(t) };
    for (const [inbox, packages] of [
      [{}, ['fastify', 'nodemailer']],
      [
        { SMTP_RELAY_INBOX_ENABLED: 'true', SMTP_RELAY_INBOX_PORT: '0', SMTP_RELAY_TRANSPORT: 'capture' },
        ['typebox', 'fastify', 'smtp-server', 'mailparser', 'nodemailer'],
      ],
    ] as const) {
      const worker = spawnWorker(t, { ...env, ...inbox });
      const stderr = text(worker.child.stderr as Readable);
      await worker.working();
      assert.equal(await worker.end('SIGTERM'), 0);
      assert.deepEqual(heavyPackages(await stderr), packages);
    }
  });
});

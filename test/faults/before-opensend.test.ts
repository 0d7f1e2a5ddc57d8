import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { runCli } from '../cli/run-cli.ts';
import { spawnWorker } from '../delivery/faults/support/worker-process.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createOpenSendTables } from '../support/opensend/tables.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { spawnRelay } from './support/relay-process.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';

const NOBODY = { userId: 'acme', domain: 'acme.test', apiKey: `os_live_${'0'.repeat(32)}`, keyId: '' };
const NOT_READY = '454 4.7.0 ';
/** Nobody listens there. */
const NOWHERE = { host: '127.0.0.1', port: 9 };

describe('a relay that is started before OpenSend', () => {
  it('makes nothing of OpenSend, says what it waits for, and is ready by itself when that is there', async t => {
    const databaseUrl = await createDatabase(t, { empty: true });
    const httpPort = await freePort();
    const relay = await startRelay(t, {
      shareWith: { databaseUrl, owner: NOBODY },
      queue: false,
      settings: { httpPort, httpHost: '127.0.0.1' },
    });
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${httpPort}${path}`);
      return { status: response.status, text: await response.text() };
    };
    const waiting = await get('/readyz');
    assert.equal(waiting.status, 503);
    for (const text of [waiting.text, (await get('/healthz')).text, JSON.stringify(relay.logs)]) {
      assert.match(text, /OpenSend's migrations have not run.*v1\.0\.0.*0036.*emails is missing/);
    }
    assert.match((await get('/metrics')).text, /^smtp_relay_shared_tables_unfit 7$/m);
    const early = await SmtpClient.secured(t, relay);
    await early.logIn(NOBODY.apiKey, NOT_READY);

    // Half of a migration is not the end of it.
    await relay.db.query('create table api_keys (id uuid primary key)');
    await eventually(async () => /api_keys\.token_hash is missing/.test((await get('/readyz')).text));
    await early.logIn(NOBODY.apiKey, NOT_READY);
    await relay.db.query('drop table api_keys');

    await withClient(databaseUrl, createOpenSendTables);
    const owner = await seedOwner(relay.db);
    await eventually(async () => (await get('/readyz')).status === 200);
    assert.match((await get('/metrics')).text, /^smtp_relay_shared_tables_unfit 0$/m);
    await early.logIn(owner.apiKey);
    await early.transact({ from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') }, '250 ');
  });

  it('waits as well where it may not migrate, and where a column is too narrow', async t => {
    const databaseUrl = await createDatabase(t, { pipeline: 'opensend' });
    const alter = (statement: string) => withClient(databaseUrl, client => client.query(statement));
    await alter('alter table emails alter "from" type varchar(255)');
    const relay = await startRelay(t, {
      shareWith: { databaseUrl, owner: await withClient(databaseUrl, client => seedOwner(client)) },
      queue: false,
      settings: { migrations: 'none' },
    });
    assert.match(JSON.stringify(relay.logs), /emails\.from is varchar\(255\), and varchar\(512\) is needed/);
    const client = await SmtpClient.secured(t, relay);
    await client.logIn(relay.owner.apiKey, NOT_READY);
    await alter('alter table emails alter "from" type varchar(512)');
    await eventually(() => client.logIn(relay.owner.apiKey).then(() => true));
  });
});

it('a standalone relay takes no installation of OpenSend for its own, and changes nothing', async t => {
  const url = await createDatabase(t, { empty: true });
  await withClient(url, createOpenSendTables);
  for (const migrations of ['auto', 'none']) {
    const { code, stderr } = await runCli(['relay'], {
      DATABASE_URL: url,
      SMTP_RELAY_PIPELINE: 'standalone',
      SMTP_RELAY_MIGRATIONS: migrations,
      SMTP_RELAY_PORT: '0',
      SMTP_RELAY_HTTP_PORT: '0',
    });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /OpenSend.*smtp-relay migrate --set-pipeline standalone/s);
  }
  const made = await withClient(url, client => client.query("select from pg_tables where tablename ~ '^smtp_relay_'"));
  assert.equal(made.rowCount, 0);
});

describe('who starts in an outage and then finds a database of the other pipeline, ends with the reason', () => {
  for (const [role, spawn, pipeline] of [
    ['a relay', spawnRelay, 'standalone'],
    ['a worker', spawnWorker, 'opensend'],
  ] as const) {
    it(role, async t => {
      const url = await createDatabase(t, { pipeline });
      const address = await startTcpProxy(t, NOWHERE);
      const process = spawn(t, {
        DATABASE_URL: address.through(url),
        SMTP_RELAY_PIPELINE: pipeline === 'standalone' ? 'opensend' : 'standalone',
        SMTP_RELAY_PORT: '0',
        SMTP_RELAY_HOST: '127.0.0.1',
      });
      let stderr = '';
      process.child.stderr?.on('data', chunk => {
        stderr += chunk;
      });
      await eventually(() => process.logs.some(({ msg }) => msg.startsWith('database unreachable')));
      address.switchTo({ host: '127.0.0.1', port: Number(new URL(url).port) });
      assert.equal(await process.ended, 2);
      assert.match(stderr, /SMTP_RELAY_PIPELINE=.*migrate --set-pipeline/s);
    });
  }
});

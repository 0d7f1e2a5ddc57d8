import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { makeAccountDirectory, postgresAccount } from '../../dev/postgres/account.ts';
import { migrate } from '../../src/store/schema/migrate.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { seedOwner } from '../support/owner.ts';
import { createServer, withClient } from '../support/postgres-server.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { startWorker } from '../support/worker.ts';
import { Senders } from './support/sender.ts';
import { failOver, startStandby } from './support/standby.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';

const FROM = 'a@acme.test';
const message = { from: FROM, to: ['b@example.com'], data: messageFrom(FROM) };
const SET_READ_ONLY = (readOnly: boolean) => `alter system set default_transaction_read_only = ${readOnly}`;

describe('a primary that becomes read-only', { skip: needs('postgres15') }, async () => {
  const parts = new AsyncDisposableStack();
  after(() => parts.disposeAsync());
  const t = { after: (fn: () => Promise<void>) => parts.defer(fn) };
  const directory = await makeAccountDirectory(postgresAccount());
  parts.defer(() => rm(directory, { recursive: true, force: true }));
  const primary = await createServer(t, { version: '15', directory });
  const databaseUrl = await primary.createDatabase('relay');
  await migrate(databaseUrl, { pipeline: 'standalone' });
  const owner = await withClient(databaseUrl, client => seedOwner(client));
  const standby = await startStandby(t, primary, directory);
  const address = await startTcpProxy(t, { host: '127.0.0.1', port: primary.port });
  const url = address.through(databaseUrl);
  const settings = { pipeline: 'standalone', transport: 'capture', 'worker.leaseTime': 3_000 };
  const relay = await startRelay(t, { queue: false, shareWith: { databaseUrl: url, owner }, settings });
  const worker = await startWorker(t, { databaseUrl: url, settings });

  it('answers 451 at once and takes mail again as soon as it may write', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact(message, '250 2.0.0');
    await withClient(primary.url('postgres'), async admin => {
      await admin.query(SET_READ_ONLY(true));
      await admin.query('select pg_reload_conf()');
      await eventually(
        async () => (await admin.query('show transaction_read_only')).rows[0].transaction_read_only === 'on',
      );
    });
    const begun = performance.now();
    await client.transact(message, '451 4.3.0');
    // Where the outcome is not known it is asked for during ten seconds.
    assert.ok(performance.now() - begun < 9_000);
    const other = await SmtpClient.loggedIn(t, relay);
    await other.transact(message, '451 4.3.0');
    const stranger = await SmtpClient.secured(t, relay);
    await stranger.logIn('os_live_0123456789', '535 5.7.8');
    await withClient(primary.url('postgres'), async admin => {
      await admin.query('set default_transaction_read_only = off');
      await admin.query(SET_READ_ONLY(false));
      await admin.query('select pg_reload_conf()');
    });
    await eventually(() => client.transact(message, '250 2.0.0').then(() => true));
  });

  it('and leaves its address to another server: nothing that was acknowledged is lost, intake and worker go on', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const senders = new Senders(t, relay, 4);
    await eventually(() => senders.sent.accepted.size > 20);
    await failOver(primary, standby);
    address.switchTo({ host: '127.0.0.1', port: standby.port });
    const before = senders.sent.accepted.size;
    await eventually(() => senders.sent.accepted.size > before + 20);
    const { accepted, refusals } = await senders.stop();
    assert.deepEqual(
      refusals.filter(({ code }) => code < 400 || code > 499).map(({ last }) => last),
      [],
    );
    const last = emailIdOf(await client.transact(message, '250 2.0.0'));
    const ids = [...accepted.keys(), last];
    await withClient(standby.url('relay'), db =>
      eventually(async () => {
        const { rows } = await db.query("select id from emails where id = any($1) and status = 'sent'", [ids]);
        return rows.length === ids.length;
        // Jobs that met the fenced server are put off for longer each time.
      }, 120_000),
    );
    // Nobody stays with the old primary.
    const connected = "select 1 from pg_stat_activity where application_name = 'smtp-relay'";
    await withClient(primary.url('postgres'), db => eventually(async () => (await db.query(connected)).rowCount === 0));
    for (const { logs } of [relay, worker]) {
      assert.ok(logs.some(({ msg }) => msg.startsWith('the database is read-only')));
    }
  });
});

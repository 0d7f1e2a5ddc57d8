import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { base64, emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const data = messageFrom('a@acme.test');
/** Nobody is cut off because the machine is busy. */
const settings = { shutdownTimeout: 60_000 };

async function openData(client: SmtpClient): Promise<void> {
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

async function isStored(relay: TestRelay, id: string): Promise<boolean> {
  return withClient(relay.databaseUrl, async client => {
    const { rows } = await client.query('select status from emails where id = $1', [id]);
    return rows.length === 1;
  });
}

describe('known defect: a pod stops in the middle of DATA: drained', () => {
  it('a message under way gets its 250, then 421; its job is published', async t => {
    const relay = await startRelay(t, { settings });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await client.send(data);
    const stopped = relay.stop();
    await client.send('\r\n.\r\n');
    const id = emailIdOf(await client.expect('250 2.0.0'));
    await client.expect('421 4.3.2');
    client.end();
    await stopped;
    assert.ok(await isStored(relay, id));
    const jobs = await relay.queue?.receiveAll();
    assert.deepEqual(
      jobs?.map(({ Body = '' }) => JSON.parse(Body).emailId),
      [id],
    );
  });

  it('of several pipelined messages the first is finished and the rest is not begun', async t => {
    const relay = await startRelay(t, { queue: false, settings });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await client.send(data);
    const stopped = relay.stop();
    await client.send(`\r\n.\r\nMAIL FROM:<a@acme.test>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n${data}\r\n.\r\n`);
    await client.expect('250 2.0.0');
    await client.expect('421 4.3.2');
    await client.closed;
    assert.equal(client.unread, '');
    client.end();
    await stopped;
  });

  it('a commit that takes long is waited for', async t => {
    const relay = await startRelay(t, { queue: false, settings });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 ');
    let stopped: Promise<void> | undefined;
    await withClient(relay.databaseUrl, async lock => {
      await lock.query('begin; lock table emails in access exclusive mode');
      await openData(client);
      await client.send(`${data}\r\n.\r\n`);
      stopped = relay.stop();
      const other = SmtpClient.connect(t, relay);
      await assert.rejects(other, { code: 'ECONNREFUSED' });
      assert.equal(client.unread, '');
    });
    const id = emailIdOf(await client.expect('250 2.0.0'));
    await client.expect('421 4.3.2');
    client.end();
    await stopped;
    assert.ok(await isStored(relay, id));
  });

  it('all other clients get 421, in whatever state they are', async t => {
    const relay = await startRelay(t, { queue: false, settings });
    const clients = [
      await SmtpClient.greeted(t, relay),
      await SmtpClient.secured(t, relay),
      await SmtpClient.loggedIn(t, relay),
      await SmtpClient.loggedIn(t, relay),
      await SmtpClient.secured(t, relay),
    ];
    await clients[3]?.command('MAIL FROM:<a@acme.test>', '250 ');
    await clients[4]?.command(`AUTH LOGIN ${base64('apikey')}`, '334 ');
    const stopped = relay.stop();
    for (const client of clients) {
      await client.expect('421 4.3.2');
      await client.closed;
      client.end();
    }
    await stopped;
  });

  it('so does one whose command was under way, behind its reply', async t => {
    const relay = await startRelay(t, { queue: false, settings });
    const client = await SmtpClient.secured(t, relay);
    await withClient(relay.databaseUrl, async lock => {
      await lock.query('begin; lock table api_keys in access exclusive mode');
      await client.send(`AUTH PLAIN ${base64(`\0apikey\0${relay.owner.apiKey}`)}\r\n`);
      const stopped = relay.stop();
      await lock.query('rollback');
      await client.expect('235 2.7.0');
      await client.expect('421 4.3.2');
      await client.closed;
      client.end();
      await stopped;
    });
  });

  it('those that have no session yet, or wait for its TLS, do not hold up the end', async t => {
    const port = await freePort();
    const relay = await startRelay(t, { queue: false, settings: { ...settings, 'tls.implicitPort': port } });
    await SmtpClient.connect(t, relay, { port: relay.implicitTlsPort });
    const upgrading = await SmtpClient.greeted(t, relay);
    await upgrading.command('STARTTLS', '220 ');
    const started = performance.now();
    await relay.stop();
    // Who holds it up is cut off when 80 % of the time are over.
    assert.ok(performance.now() - started < 0.5 * settings.shutdownTimeout);
  });

  it('a client that does not finish is cut off at the deadline with 421', async t => {
    const relay = await startRelay(t, { queue: false, settings: { shutdownTimeout: 500 } });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await client.send(data);
    const stopped = relay.stop();
    await client.expect('421 4.3.2');
    await stopped;
    const rows = await withClient(relay.databaseUrl, async db => (await db.query('select 1 from emails')).rows);
    assert.deepEqual(rows, []);
  });
});

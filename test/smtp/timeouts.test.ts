import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/dev/ports.ts';
import { scrape } from '../support/metrics.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const base = { queue: false, tls: false } as const;
const envelope = { from: 'a@acme.test', to: ['b@example.com'] };

async function openData(client: SmtpClient): Promise<void> {
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

describe('idle time-out', () => {
  it('ends a silent session with 421, before log-in and after', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.idleTimeout': 1_500 } });
    for (const open of [SmtpClient.connect, SmtpClient.loggedIn]) {
      const client = await open.call(SmtpClient, t, relay);
      if (open === SmtpClient.connect) await client.expect('220 ');
      await client.expect('421 4.4.2');
      await client.closed;
    }
  });

  it('ends a silent DATA with 421, and nothing is stored', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.idleTimeout': 1_500 } });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await client.send(`${messageFrom('a@acme.test')}\r\n.`);
    await client.expect('421 4.4.2');
    await client.closed;
    // The rest comes too late.
    await client.send('\r\n').catch(() => {});
    const { rows } = await relay.db.query('select 1 from emails');
    assert.deepEqual(rows, []);
  });

  it('starts anew with each command', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.idleTimeout': 2_000 } });
    const client = await SmtpClient.loggedIn(t, relay);
    for (let round = 0; round < 6; round += 1) {
      await sleep(500);
      await client.command('NOOP', '250 ');
    }
  });
});

describe('known defect: a byte now and then resets the time-out for ever: DATA has a deadline', () => {
  it('421 4.4.2, and nothing is stored', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.dataTimeout': 1_500 } });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    const started = performance.now();
    await client.send(`${messageFrom('a@acme.test')}\r\n`);
    while (client.unread === '') {
      await client.send('x').catch(() => {});
      await sleep(20);
      assert.ok(performance.now() - started < 60_000, 'it goes on for ever');
    }
    await client.expect('421 4.4.2 The message took too long');
    await client.closed;
    const { rows } = await relay.db.query('select 1 from emails');
    assert.deepEqual(rows, []);
  });

  it('does not count the time that the relay itself takes', async t => {
    const settings = { 'limits.dataTimeout': 1_500, 'limits.idleTimeout': 1_500 };
    const relay = await startRelay(t, { ...base, settings });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0');
    await withClient(relay.databaseUrl, async lock => {
      await lock.query('begin; lock table emails in access exclusive mode');
      await openData(client);
      await client.send(`${messageFrom('a@acme.test')}\r\n.\r\n`);
      await sleep(3_500);
      assert.equal(client.unread, '');
    });
    await client.expect('250 2.0.0');
  });
});

describe('session time', () => {
  it('is bounded however busy the session is: 421 4.4.2', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.sessionTimeout': 3_000 } });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0');
    await sleep(3_000);
    await client.command('NOOP', '421 4.4.2 The session has lasted too long');
    await client.closed;
  });

  it('lets a message end that has begun', async t => {
    const relay = await startRelay(t, { ...base, settings: { 'limits.sessionTimeout': 3_000 } });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await sleep(3_000);
    await client.send(`${messageFrom('a@acme.test')}\r\n.\r\n`);
    await client.expect('250 2.0.0');
    await client.command('NOOP', '421 4.4.2');
  });
});

it('what the library ends or refuses is counted by its rule', async t => {
  const limits = { 'limits.idleTimeout': 5_000, 'limits.sessionTimeout': 3_000, 'limits.recipients': 1 };
  const settings = { ...limits, httpHost: '127.0.0.1', httpPort: await freePort() };
  const relay = await startRelay(t, { ...base, settings });
  const client = await SmtpClient.loggedIn(t, relay);
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('RCPT TO:<c@example.com>', '452 4.5.3 Too many recipients');
  await sleep(3_000);
  await client.command('NOOP', '421 4.4.2');
  await (await SmtpClient.greeted(t, relay)).expect('421 4.4.2 The connection was silent');
  const counted = await scrape(relay);
  for (const [step, rule] of [
    ['RCPT', 'recipient_limit'],
    ['session', 'session_timeout'],
    ['session', 'idle_timeout'],
  ]) {
    assert.equal(counted.get(`smtp_relay_refusals_total{step="${step}",rule="${rule}"}`), 1, rule);
  }
});

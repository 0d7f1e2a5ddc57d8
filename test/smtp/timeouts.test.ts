import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/metrics.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const envelope = { from: 'a@acme.test', to: ['b@example.com'] };

function relayWith(t: TestContext, limits: Record<string, number>, more: Record<string, unknown> = {}) {
  const named = Object.entries(limits).map(([name, value]) => [`limits.${name}`, value]);
  return startRelay(t, { queue: false, settings: { ...Object.fromEntries(named), ...more } });
}

async function openData(client: SmtpClient): Promise<void> {
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

/** Sends a byte now and then, for as long as the server lets it. */
async function dribble(client: SmtpClient, byte = 'x'): Promise<void> {
  const started = performance.now();
  let isOpen = true;
  void client.closed.then(() => (isOpen = false));
  while (client.unread === '' && isOpen) {
    await client.send(byte).catch(() => {});
    await sleep(20);
    assert.ok(performance.now() - started < 60_000, 'it goes on for ever');
  }
}

async function stored(relay: TestRelay): Promise<number> {
  return (await relay.db.query('select 1 from emails')).rows.length;
}

describe('idle time-out', { concurrency: true }, () => {
  it('ends a silent session with 421, before the TLS handshake, before log-in and after', async t => {
    const relay = await relayWith(t, { idleTimeout: 1_500 });
    for (const open of [SmtpClient.greeted, SmtpClient.secured, SmtpClient.loggedIn]) {
      const client = await open.call(SmtpClient, t, relay);
      await client.expect('421 4.4.2 The connection was silent');
      await client.closed;
    }
  });

  it('ends a silent DATA with 421, and nothing is stored', async t => {
    const relay = await relayWith(t, { idleTimeout: 1_500 });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await client.send(`${messageFrom('a@acme.test')}\r\n.`);
    await client.expect('421 4.4.2');
    await client.closed;
    // The rest comes too late.
    await client.send('\r\n').catch(() => {});
    assert.equal(await stored(relay), 0);
  });

  it('starts anew with each command, and with each piece of a message', async t => {
    const relay = await relayWith(t, { idleTimeout: 1_200 });
    const client = await SmtpClient.loggedIn(t, relay);
    for (let round = 0; round < 3; round += 1) {
      await sleep(500);
      await client.command('NOOP', '250 ');
    }
    await openData(client);
    for (const line of `${messageFrom('a@acme.test')}\r\n.`.split('\r\n')) {
      await sleep(300);
      await client.send(`${line}\r\n`);
    }
    await client.expect('250 ');
  });

  for (const open of [SmtpClient.greeted, SmtpClient.secured, SmtpClient.loggedIn]) {
    it(`does not start anew with a byte of a command (${open.name})`, async t => {
      const relay = await relayWith(t, { idleTimeout: 1_000 });
      const client = await open.call(SmtpClient, t, relay);
      await dribble(client, 'N');
      await client.expect('421 4.4.2 The connection was silent');
      await client.closed;
    });
  }

  it('ends a client that does not read what it is told', async t => {
    const settings = { httpHost: '127.0.0.1', httpPort: await freePort() };
    const relay = await relayWith(t, { idleTimeout: 1_000 }, settings);
    const client = await SmtpClient.loggedIn(t, relay);
    client.socket.pause();
    client.socket.write('NOOP\r\n'.repeat(500_000));
    await eventually(async () => (await scrape(relay)).get('smtp_relay_client_addresses') === 0);
  });
});

describe('log-in time', { concurrency: true }, () => {
  it('ends what has not logged in, however busy it is: 421 4.4.2', async t => {
    const relay = await relayWith(t, { loginTimeout: 1_200 });
    const silent = await SmtpClient.greeted(t, relay);
    const secured = await SmtpClient.secured(t, relay);
    const loggedIn = await SmtpClient.loggedIn(t, relay);
    await Promise.all([
      silent.expect('421 4.4.2 No log-in in time'),
      dribble(secured).then(() => secured.expect('421 4.4.2 No log-in in time')),
    ]);
    await Promise.all([silent.closed, secured.closed]);
    await loggedIn.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 ');
  });

  it('counts a log-in under way, whose other half never comes', async t => {
    const relay = await relayWith(t, { loginTimeout: 1_200 });
    const client = await SmtpClient.secured(t, relay);
    await client.command('AUTH LOGIN', '334 ');
    await client.expect('421 4.4.2 No log-in in time');
  });

  it('holds for TLS handshakes, on either port', async t => {
    const relay = await relayWith(t, { loginTimeout: 1_000 }, { 'tls.implicitPort': await freePort() });
    const begun = await SmtpClient.greeted(t, relay);
    await begun.command('STARTTLS', '220 ');
    const implicit = await SmtpClient.connect(t, relay, { port: relay.implicitTlsPort });
    // The beginning of a record that never ends.
    for (const client of [begun, implicit]) await client.send(Buffer.from('16030102000100', 'hex'));
    await Promise.all([dribble(begun, '\0'), dribble(implicit, '\0')]);
    await Promise.all([begun.closed, implicit.closed]);
    const reasons = relay.logs.filter(({ msg }) => msg === 'TLS handshake failed').map(({ reason }) => reason);
    assert.deepEqual(reasons, ['timeout', 'timeout']);
  });

  it('is not for clients that need no log-in', async t => {
    const first = await startRelay(t, { queue: false });
    const settings = { trustedNetworks: [{ network: '127.0.0.0/8', keyId: first.owner.keyId }] };
    const limits = { 'limits.loginTimeout': 300 };
    const relay = await startRelay(t, { queue: false, shareWith: first, settings: { ...settings, ...limits } });
    const client = await SmtpClient.secured(t, relay);
    await sleep(600);
    await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 ');
  });
});

describe('known defect: a byte now and then resets the time-out for ever: DATA has a deadline', {
  concurrency: true,
}, () => {
  it('421 4.4.2, and nothing is stored', async t => {
    const relay = await relayWith(t, { dataTimeout: 1_500 });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await client.send(`${messageFrom('a@acme.test')}\r\n`);
    await dribble(client);
    await client.expect('421 4.4.2 The message took too long');
    await client.closed;
    assert.equal(await stored(relay), 0);
  });

  it('does not count the time that the relay itself takes', async t => {
    const relay = await relayWith(t, { dataTimeout: 1_000, idleTimeout: 1_000 });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0');
    await withClient(relay.databaseUrl, async lock => {
      await lock.query('begin; lock table emails in access exclusive mode');
      await openData(client);
      await client.send(`${messageFrom('a@acme.test')}\r\n.\r\n`);
      await sleep(2_200);
      assert.equal(client.unread, '');
    });
    await client.expect('250 2.0.0');
  });
});

describe('session time', { concurrency: true }, () => {
  it('is bounded however busy the session is: 421 4.4.2', async t => {
    const relay = await relayWith(t, { sessionTimeout: 1_500 });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0');
    await dribble(client);
    await client.expect('421 4.4.2 The session has lasted too long');
    await client.closed;
  });

  it('lets a message end that has begun', async t => {
    const relay = await relayWith(t, { sessionTimeout: 2_000 });
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await sleep(2_100);
    await client.send(`${messageFrom('a@acme.test')}\r\n.\r\n`);
    await client.expect('250 2.0.0');
    await client.command('NOOP', '421 4.4.2');
  });
});

it('what the relay ends, and what the library refuses, is counted by its rule', async t => {
  const settings = { httpHost: '127.0.0.1', httpPort: await freePort() };
  const limits = { idleTimeout: 1_000, sessionTimeout: 2_500, loginTimeout: 800, recipients: 1 };
  const relay = await relayWith(t, limits, settings);
  const client = await SmtpClient.loggedIn(t, relay);
  await (await SmtpClient.greeted(t, relay)).expect('421 4.4.2 No log-in');
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('RCPT TO:<c@example.com>', '452 4.5.3 Too many recipients');
  await (await SmtpClient.loggedIn(t, relay)).expect('421 4.4.2 The connection was silent');
  const busy = await SmtpClient.loggedIn(t, relay);
  let reply = await busy.command('NOOP', '');
  for (; reply.code === 250; reply = await busy.command('NOOP', '')) await sleep(100);
  assert.match(reply.last, /^421 4\.4\.2 The session has lasted too long/);
  const counted = await scrape(relay);
  for (const [step, rule, times] of [
    ['RCPT', 'recipient_limit', 1],
    ['session', 'session_timeout', 1],
    ['session', 'login_timeout', 1],
    // Of the first client, too.
    ['session', 'idle_timeout', 2],
  ]) {
    assert.equal(counted.get(`smtp_relay_refusals_total{step="${step}",rule="${rule}"}`), times, `${rule}`);
  }
});

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/metrics.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

/** Milliseconds. What a client does meanwhile takes a small part of it, also where the machine is slow or stands still. */
const TIME = 5_000;

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

/** Says NOOP until it is answered by something else. @returns that */
async function untilOver(client: SmtpClient): Promise<string> {
  let reply = await client.command('NOOP', '');
  for (; reply.code === 250; reply = await client.command('NOOP', '')) await sleep(100);
  return reply.last;
}

async function stored(relay: TestRelay): Promise<number> {
  return (await relay.db.query('select 1 from emails')).rows.length;
}

// They wait more than they work.
describe('the time of', { concurrency: true }, () => {
  describe('silence', { concurrency: true }, () => {
    it('ends a silent session with 421, before the TLS handshake, before log-in and after', async t => {
      const relay = await relayWith(t, { idleTimeout: TIME });
      const opens = [SmtpClient.greeted, SmtpClient.secured, SmtpClient.loggedIn];
      for (const client of await Promise.all(opens.map(open => open.call(SmtpClient, t, relay)))) {
        await client.expect('421 4.4.2 The connection was silent');
        await client.closed;
      }
    });

    it('ends a silent DATA with 421, and nothing is stored', async t => {
      const relay = await relayWith(t, { idleTimeout: TIME });
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
      const relay = await relayWith(t, { idleTimeout: TIME });
      const [talking, sending] = [await SmtpClient.loggedIn(t, relay), await SmtpClient.loggedIn(t, relay)];
      await openData(sending);
      const pieces = [messageFrom('a@acme.test'), '\r\n', '.\r\n'];
      for (const piece of pieces) {
        await sleep(0.4 * TIME);
        await Promise.all([talking.command('NOOP', '250 '), sending.send(piece)]);
      }
      await sending.expect('250 ');
    });

    for (const open of [SmtpClient.greeted, SmtpClient.secured, SmtpClient.loggedIn]) {
      it(`does not start anew with a byte of a command (${open.name})`, async t => {
        const relay = await relayWith(t, { idleTimeout: TIME });
        const client = await open.call(SmtpClient, t, relay);
        await dribble(client, 'N');
        await client.expect('421 4.4.2 The connection was silent');
        await client.closed;
      });
    }

    it('ends a client that does not read what it is told', async t => {
      const settings = { httpHost: '127.0.0.1', httpPort: await freePort() };
      const relay = await relayWith(t, { idleTimeout: TIME }, settings);
      const client = await SmtpClient.loggedIn(t, relay);
      client.socket.pause();
      client.socket.write('NOOP\r\n'.repeat(500_000));
      await eventually(async () => (await scrape(relay)).get('smtp_relay_client_addresses') === 0);
    });
  });

  describe('log-in', { concurrency: true }, () => {
    it('ends what has not logged in, however busy it is: 421 4.4.2', async t => {
      const relay = await relayWith(t, { loginTimeout: TIME });
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
      const relay = await relayWith(t, { loginTimeout: TIME });
      const client = await SmtpClient.secured(t, relay);
      await client.command('AUTH LOGIN', '334 ');
      await client.expect('421 4.4.2 No log-in in time');
    });

    it('holds for TLS handshakes, on either port', async t => {
      const relay = await relayWith(t, { loginTimeout: TIME }, { 'tls.implicitPort': await freePort() });
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
      const limits = { 'limits.loginTimeout': TIME };
      const relay = await startRelay(t, { queue: false, shareWith: first, settings: { ...settings, ...limits } });
      const client = await SmtpClient.secured(t, relay);
      await sleep(1.1 * TIME);
      await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 ');
    });
  });

  // Known defect: a byte now and then reset the time-out for ever.
  describe('DATA', { concurrency: true }, () => {
    it('421 4.4.2, and nothing is stored', async t => {
      const relay = await relayWith(t, { dataTimeout: TIME });
      const client = await SmtpClient.loggedIn(t, relay);
      await openData(client);
      await client.send(`${messageFrom('a@acme.test')}\r\n`);
      await dribble(client);
      await client.expect('421 4.4.2 The message took too long');
      await client.closed;
      assert.equal(await stored(relay), 0);
    });

    it('does not count the time that the relay itself takes', async t => {
      const relay = await relayWith(t, { dataTimeout: TIME, idleTimeout: TIME });
      const client = await SmtpClient.loggedIn(t, relay);
      await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0');
      await withClient(relay.databaseUrl, async lock => {
        await lock.query('begin; lock table emails in access exclusive mode');
        await openData(client);
        await client.send(`${messageFrom('a@acme.test')}\r\n.\r\n`);
        await sleep(1.1 * TIME);
        assert.equal(client.unread, '');
      });
      await client.expect('250 2.0.0');
    });
  });

  describe('a session', { concurrency: true }, () => {
    it('is bounded however busy the session is: 421 4.4.2', async t => {
      const relay = await relayWith(t, { sessionTimeout: TIME });
      const client = await SmtpClient.loggedIn(t, relay);
      await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0');
      await dribble(client);
      await client.expect('421 4.4.2 The session has lasted too long');
      await client.closed;
    });

    it('lets a message end that has begun', async t => {
      const relay = await relayWith(t, { sessionTimeout: TIME });
      const client = await SmtpClient.loggedIn(t, relay);
      await openData(client);
      await sleep(1.1 * TIME);
      await client.send(`${messageFrom('a@acme.test')}\r\n.\r\n`);
      await client.expect('250 2.0.0');
      await client.command('NOOP', '421 4.4.2');
    });
  });

  it('a session that has ended already is not said to end for this, too', async t => {
    const settings = { httpHost: '127.0.0.1', httpPort: await freePort() };
    const relay = await relayWith(t, { loginTimeout: 4_000 }, settings);
    // It does not close its side, for which the relay waits longer than for a log-in.
    const socket = connect({ host: relay.host, port: relay.port, allowHalfOpen: true });
    t.after(() => void socket.destroy());
    await once(socket, 'connect');
    socket.resume().write('EHLO client.test\r\nQUIT\r\n');
    await once(socket, 'end');
    await sleep(4_500);
    assert.equal(
      (await scrape(relay)).get('smtp_relay_refusals_total{step="session",rule="login_timeout"}'),
      undefined,
    );
  });

  it('what ends, and what the library refuses, is counted by its rule', async t => {
    const settings = { httpHost: '127.0.0.1', httpPort: await freePort() };
    const limits = { loginTimeout: TIME, idleTimeout: TIME, sessionTimeout: 2 * TIME, recipients: 1 };
    const relay = await relayWith(t, limits, settings);
    const busy = untilOver(await SmtpClient.loggedIn(t, relay));
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('RCPT TO:<c@example.com>', '452 4.5.3 Too many recipients');
    await Promise.all([
      client.expect('421 4.4.2 The connection was silent'),
      untilOver(await SmtpClient.secured(t, relay)).then(last => assert.match(last, /^421 4\.4\.2 No log-in in time/)),
    ]);
    assert.match(await busy, /^421 4\.4\.2 The session has lasted too long/);
    const counted = await scrape(relay);
    for (const [step, rule, times] of [
      ['RCPT', 'recipient_limit', 1],
      ['session', 'session_timeout', 1],
      ['session', 'login_timeout', 1],
      ['session', 'idle_timeout', 1],
    ]) {
      assert.equal(counted.get(`smtp_relay_refusals_total{step="${step}",rule="${rule}"}`), times, `${rule}`);
    }
  });
});

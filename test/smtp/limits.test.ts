import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/metrics.ts';
import { startRelay } from '../support/relay.ts';
import { base64, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const base = { queue: false, tls: false } as const;
const proxied = { 'proxyProtocol.networks': ['127.0.0.0/8'] };
const from = (address: string) => ({ preamble: `PROXY TCP4 ${address} 198.51.100.2 55555 2587\r\n` });

async function settingsWithMetrics(settings: Record<string, unknown>) {
  return { ...settings, httpHost: '127.0.0.1', httpPort: await freePort() };
}

describe('limits.connectionsPerAddress', () => {
  it('one more of an address gets 421 4.7.0; other addresses are let in, and one that goes makes room', async t => {
    const settings = await settingsWithMetrics({ ...proxied, 'limits.connectionsPerAddress': 2 });
    const relay = await startRelay(t, { ...base, settings });
    const [first] = [
      await SmtpClient.greeted(t, relay, from('192.0.2.1')),
      await SmtpClient.greeted(t, relay, from('192.0.2.1')),
    ];
    const third = await SmtpClient.connect(t, relay, from('192.0.2.1'));
    await third.expect('421 4.7.0 Too many connections from your address');
    await third.closed;
    await SmtpClient.greeted(t, relay, from('192.0.2.2'));
    const metrics = await scrape(relay);
    assert.equal(metrics.get('smtp_relay_refusals_total{step="connect",rule="connections_per_address"}'), 1);
    first.destroy();
    await eventually(async () => (await (await SmtpClient.connect(t, relay, from('192.0.2.1'))).reply()).code === 220);
  });

  it('on the implicit TLS port it ends before the handshake', async t => {
    const settings = { 'limits.connectionsPerAddress': 1, 'tls.implicitPort': await freePort() };
    const relay = await startRelay(t, { queue: false, settings });
    const options = { port: relay.implicitTlsPort, implicitTls: true };
    const first = await SmtpClient.greeted(t, relay, options);
    const second = await SmtpClient.connect(t, relay, { port: relay.implicitTlsPort });
    await second.closed;
    first.destroy();
    await eventually(() => SmtpClient.greeted(t, relay, options));
  });

  it('a balancer that does not say for whom it connects is not counted', async t => {
    const settings = { ...proxied, 'limits.connectionsPerAddress': 1 };
    const relay = await startRelay(t, { ...base, settings });
    for (let count = 0; count < 3; count += 1) await SmtpClient.greeted(t, relay, { preamble: 'PROXY UNKNOWN\r\n' });
  });
});

describe('sessions of a key', () => {
  for (const [name, settings] of [
    ['limits.sessionsPerKey', { 'limits.sessionsPerKey': 2 }],
    ['limits.keyShare', { 'limits.connections': 8, 'limits.keyShare': 25 }],
  ] as const) {
    it(`${name}: one more gets 421 4.7.0 to AUTH; one that goes makes room`, async t => {
      const relay = await startRelay(t, { ...base, settings: await settingsWithMetrics(settings) });
      const [first] = [await SmtpClient.loggedIn(t, relay), await SmtpClient.loggedIn(t, relay)];
      const third = await SmtpClient.greeted(t, relay);
      await third.logIn(relay.owner.apiKey, '421 4.7.0 This API key has as many sessions');
      await third.closed;
      const metrics = await scrape(relay);
      assert.equal(metrics.get('smtp_relay_sessions'), 2);
      assert.equal(metrics.get('smtp_relay_refusals_total{step="AUTH",rule="sessions_per_key"}'), 1);
      assert.equal(metrics.get('smtp_relay_logins_total{result="refused"}'), 1);
      first.destroy();
      await eventually(() => SmtpClient.loggedIn(t, relay));
    });
  }
});

describe('failed log-ins', () => {
  const settings = { 'limits.failedLoginsPerAddress': 2, 'limits.loginDelay': 1_000 };

  it('on one pod make log-ins from that address wait on another; a good key gets in, and the relay serves others', async t => {
    const first = await startRelay(t, { ...base, settings });
    const second = await startRelay(t, {
      ...base,
      shareWith: first,
      settings: await settingsWithMetrics(settings),
    });
    const guesser = await SmtpClient.greeted(t, first);
    for (const guess of ['one', 'two']) await guesser.logIn(guess, '535 5.7.8');
    const client = await SmtpClient.greeted(t, second);
    const other = await SmtpClient.greeted(t, second);
    const began = performance.now();
    const order: string[] = [];
    await Promise.all([
      client.logIn(second.owner.apiKey).then(() => order.push('let in')),
      other.command('NOOP', '250 ').then(() => order.push('nobody else waits')),
    ]);
    assert.deepEqual(order, ['nobody else waits', 'let in']);
    assert.ok(performance.now() - began >= 995, `let in after ${performance.now() - began} ms`);
    // It is known from there now, and does not wait.
    await SmtpClient.loggedIn(t, second);
    assert.equal((await scrape(second)).get('smtp_relay_login_delay_seconds_count'), 1);
  });

  it('the wait is over when the connection is: nothing is counted for it afterwards', async t => {
    const relay = await startRelay(t, { ...base, settings: await settingsWithMetrics(settings) });
    const guesser = await SmtpClient.greeted(t, relay);
    for (const guess of ['one', 'two']) await guesser.logIn(guess, '535 5.7.8');
    const gone = await SmtpClient.greeted(t, relay);
    await gone.send(`AUTH PLAIN ${base64(`\0\0${relay.owner.apiKey}`)}\r\n`);
    gone.destroy();
    await SmtpClient.loggedIn(t, relay);
    assert.equal((await scrape(relay)).get('smtp_relay_sessions'), 1);
  });
});

describe('limits.dataRate', () => {
  it('a client that is slower gets 421 4.4.2 after the grace, and nothing is stored', async t => {
    const limits = { 'limits.dataRate': 1000, 'limits.dataGrace': 300 };
    const relay = await startRelay(t, { ...base, settings: await settingsWithMetrics(limits) });
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('DATA', '354 ');
    await client.send('Subject: slow\r\n');
    await client.expect('421 4.4.2 The message arrives too slowly');
    await client.closed;
    assert.equal((await scrape(relay)).get('smtp_relay_refusals_total{step="DATA",rule="data_rate"}'), 1);
    assert.deepEqual((await relay.db.query('select 1 from emails')).rows, []);
  });

  it('does not count what comes after the message', async t => {
    const limits = { 'limits.dataRate': 1_000_000, 'limits.dataGrace': 2_000 };
    const relay = await startRelay(t, { ...base, settings: limits });
    const client = await SmtpClient.loggedIn(t, relay);
    const message = { from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') };
    await client.transact(message, '250 2.0.0');
    await sleep(2_500);
    await client.transact(message, '250 2.0.0');
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/metrics.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { base64, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const base = { queue: false } as const;
const proxied = { 'proxyProtocol.networks': ['127.0.0.0/8'] };
const from = (address: string) => ({ preamble: `PROXY TCP4 ${address} 198.51.100.2 55555 2587\r\n` });

async function settingsWithMetrics(settings: Record<string, unknown>) {
  return { ...settings, httpHost: '127.0.0.1', httpPort: await freePort() };
}

/** Nothing is open, and nothing is kept of what was. */
async function isEmpty(relay: TestRelay): Promise<boolean> {
  const metrics = await scrape(relay);
  const names = ['smtp_relay_connections', 'smtp_relay_client_addresses', 'smtp_relay_sessions'];
  return names.every(name => metrics.get(name) === 0);
}

describe('limits.connectionsPerAddress', () => {
  it('one more of an address gets 421 4.7.0; other addresses are let in, and one that goes makes room', async t => {
    const settings = await settingsWithMetrics({ ...proxied, 'limits.connectionsPerAddress': 2 });
    const relay = await startRelay(t, { ...base, settings });
    const [first] = [
      await SmtpClient.loggedIn(t, relay, from('192.0.2.1')),
      await SmtpClient.loggedIn(t, relay, from('192.0.2.1')),
    ];
    const third = await SmtpClient.connect(t, relay, from('192.0.2.1'));
    await third.expect('421 4.7.0 Too many connections from your address');
    await third.closed;
    await SmtpClient.loggedIn(t, relay, from('192.0.2.2'));
    const metrics = await scrape(relay);
    assert.equal(metrics.get('smtp_relay_refusals_total{step="connect",rule="connections_per_address"}'), 1);
    assert.equal(metrics.get('smtp_relay_client_addresses'), 2);
    first.destroy();
    await eventually(async () => (await (await SmtpClient.connect(t, relay, from('192.0.2.1'))).reply()).code === 220);
  });

  it('sessions in TLS are given back, however they end', async t => {
    const settings = { 'limits.connectionsPerAddress': 1, 'tls.implicitPort': await freePort() };
    const relay = await startRelay(t, { ...base, settings: await settingsWithMetrics(settings) });
    const implicit = { port: relay.implicitTlsPort, implicitTls: true };
    const endings: readonly (() => Promise<unknown>)[] = [
      async () => (await SmtpClient.loggedIn(t, relay)).destroy(),
      async () => (await SmtpClient.secured(t, relay)).end(),
      async () => (await SmtpClient.loggedIn(t, relay)).command('QUIT', '221 '),
      async () => (await SmtpClient.loggedIn(t, relay, implicit)).destroy(),
      async () => (await SmtpClient.greeted(t, relay)).destroy(),
      async () => {
        const client = await SmtpClient.greeted(t, relay);
        await client.command('STARTTLS', '220 ');
        client.destroy();
      },
      async () => {
        const client = await SmtpClient.greeted(t, relay);
        await client.command('STARTTLS', '220 ');
        await client.send('this is no ClientHello\r\n');
      },
      async () => {
        const client = await SmtpClient.loggedIn(t, relay);
        await client.command('MAIL FROM:<a@acme.test>', '250 ');
        await client.command('RCPT TO:<b@example.com>', '250 ');
        await client.command('DATA', '354 ');
        await client.send('Subject: half');
        client.destroy();
      },
    ];
    for (const end of endings) {
      await end();
      await eventually(() => isEmpty(relay));
    }
    await SmtpClient.loggedIn(t, relay);
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
    for (let count = 0; count < 3; count += 1) await SmtpClient.secured(t, relay, { preamble: 'PROXY UNKNOWN\r\n' });
  });
});

describe('limits.addressShare', () => {
  it('silent connections of one address leave room for others, and for its own log-ins', async t => {
    const settings = { ...proxied, 'limits.connections': 8, 'limits.addressShare': 50 };
    const relay = await startRelay(t, { ...base, settings: await settingsWithMetrics(settings) });
    const [first] = await Promise.all(Array.from({ length: 4 }, () => SmtpClient.secured(t, relay, from('192.0.2.1'))));
    const fifth = await SmtpClient.connect(t, relay, from('192.0.2.1'));
    await fifth.expect('421 4.7.0 Too many connections from your address that have not logged in');
    await fifth.closed;
    await SmtpClient.loggedIn(t, relay, from('192.0.2.2'));
    // Who has logged in does not count.
    await first?.logIn(relay.owner.apiKey);
    await SmtpClient.loggedIn(t, relay, from('192.0.2.1'));
    await SmtpClient.secured(t, relay, from('192.0.2.1'));
    const metrics = await scrape(relay);
    assert.equal(metrics.get('smtp_relay_refusals_total{step="connect",rule="address_share"}'), 1);
  });

  it('by default one address cannot fill the relay', async t => {
    const relay = await startRelay(t, { ...base, settings: { ...proxied, 'limits.connections': 20 } });
    const replies = await Promise.all(
      Array.from({ length: 20 }, async () => (await SmtpClient.connect(t, relay, from('192.0.2.1'))).reply()),
    );
    assert.equal(replies.filter(({ code }) => code === 220).length, 15);
    await SmtpClient.loggedIn(t, relay, from('192.0.2.2'));
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
      const third = await SmtpClient.secured(t, relay);
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

  it('on one pod make wrong keys from that address wait on another; a good key gets in at once', async t => {
    const first = await startRelay(t, { ...base, settings });
    const second = await startRelay(t, {
      ...base,
      shareWith: first,
      settings: await settingsWithMetrics(settings),
    });
    const guesser = await SmtpClient.secured(t, first);
    for (const guess of ['one', 'two']) await guesser.logIn(guess, '535 5.7.8');
    const [guessing, client] = [await SmtpClient.secured(t, second), await SmtpClient.secured(t, second)];
    const began = performance.now();
    const order: string[] = [];
    await Promise.all([
      guessing.logIn('three', '535 5.7.8').then(() => order.push('turned away')),
      client.logIn(second.owner.apiKey).then(() => order.push('let in')),
    ]);
    assert.deepEqual(order, ['let in', 'turned away']);
    assert.ok(performance.now() - began >= 995, `turned away after ${performance.now() - began} ms`);
    assert.equal((await scrape(second)).get('smtp_relay_login_delay_seconds_count'), 1);
  });

  it('twelve connections that guess from one address do not keep out a good key that is new there', async t => {
    const limits = { ...settings, 'limits.loginDelay': 5_000 };
    const relay = await startRelay(t, { ...base, settings: await settingsWithMetrics(limits) });
    const guessers = await Promise.all(Array.from({ length: 12 }, () => SmtpClient.secured(t, relay)));
    for (const [index, guesser] of guessers.entries()) {
      await guesser.send(`AUTH PLAIN ${base64(`\0\0guess ${index}`)}\r\n`.repeat(11));
    }
    // All that may wait do.
    await eventually(async () => ((await scrape(relay)).get('smtp_relay_login_delay_seconds_count') ?? 0) >= 10);
    const began = performance.now();
    await SmtpClient.loggedIn(t, relay);
    assert.ok(performance.now() - began < 4_000, `let in after ${performance.now() - began} ms`);
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

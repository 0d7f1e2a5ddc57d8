import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { createTrust } from '../../src/smtp/incoming-connections.ts';
import { createKey, hashKey } from '../../src/store/keys/api-keys.ts';
import { blockKey } from '../../src/store/keys/blocked-keys.ts';
import { listSessions } from '../../src/store/sessions/sessions.ts';
import { ChangeableConfig } from '../support/changeable.ts';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/metrics.ts';
import { type RelayOptions, startRelay, type TestContext, type TestRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const message = { from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') };
const KEY = '7e1f3a52-9d0b-4c7e-8a64-2b8f5d1c9e03';
const proxied = { 'proxyProtocol.networks': ['127.0.0.0/8'] };
const PRINTER = 'PROXY TCP4 10.1.2.3 198.51.100.2 55555 2587\r\n';

/** A relay whose networks send as a key with the id `KEY`, which is not the owner's other key. */
async function startTrusting(
  t: TestContext,
  networks: readonly string[],
  { settings, ...options }: RelayOptions = {},
): Promise<TestRelay> {
  const trustedNetworks = networks.map(network => ({ network, keyId: KEY }));
  const ports = { httpHost: '127.0.0.1', httpPort: await freePort() };
  const relay = await startRelay(t, { queue: false, ...options, settings: { ...settings, ...ports, trustedNetworks } });
  await relay.db.query('insert into api_keys (id, name, token_hash, domain, user_id) values ($1, $2, $3, $4, $5)', [
    KEY,
    'printer',
    'unknown to everybody',
    'acme.test',
    relay.owner.userId,
  ]);
  return relay;
}

describe('trustedNetworks', () => {
  it('send without a log-in and without TLS, as the key of the network; logged and counted', async t => {
    const relay = await startTrusting(t, ['127.0.0.0/8']);
    const client = await SmtpClient.greeted(t, relay);
    for (let count = 0; count < 2; count += 1) {
      const id = emailIdOf(await client.transact(message, '250 2.0.0'));
      const { rows } = await relay.db.query('select user_id from emails where id = $1', [id]);
      assert.deepEqual(rows, [{ user_id: relay.owner.userId }]);
    }
    const lines = relay.logs.filter(({ msg }) => msg.startsWith('session of a trusted network'));
    assert.deepEqual(
      lines.map(({ key, client: from }) => [key, from]),
      [[KEY, '127.0.0.1']],
    );
    assert.equal((await scrape(relay)).get('smtp_relay_logins_total{result="trusted"}'), 1);
  });

  it('are bound to what their key may do', async t => {
    const relay = await startTrusting(t, ['127.0.0.0/8']);
    const client = await SmtpClient.greeted(t, relay);
    const elsewhere = { ...message, data: messageFrom('a@elsewhere.test') };
    await client.transact(elsewhere, '550 5.7.1 This API key may only send from acme.test');
  });

  it('may log in all the same, also after STARTTLS, and are somebody else then', async t => {
    const relay = await startTrusting(t, ['127.0.0.0/8']);
    const insert = 'insert into api_keys (name, token_hash, user_id) values ($1, $2, $3)';
    await relay.db.query(insert, ['other', hashKey('another'), 'somebody']);
    const client = await SmtpClient.secured(t, relay);
    const { lines } = await client.command('EHLO printer.test', '250 ');
    assert.ok(lines.includes('AUTH PLAIN LOGIN'), lines.join());
    await client.logIn('wrong', '535 5.7.8');
    await client.logIn('another');
    await client.command('AUTH PLAIN', '503 5.5.1 Already');
    const id = emailIdOf(await client.transact(message, '250 2.0.0'));
    const { rows } = await relay.db.query('select user_id from emails where id = $1', [id]);
    assert.deepEqual(rows, [{ user_id: 'somebody' }]);
  });

  it('keep their sessions to themselves when they try a key of others that is blocked', async t => {
    const relay = await startTrusting(t, ['127.0.0.0/8'], { settings: { pipeline: 'standalone' } });
    const { id, key } = await createKey(relay.db, { owner: 'somebody', name: 'old' });
    await blockKey(relay.db, 'old');
    const client = await SmtpClient.secured(t, relay);
    await client.transact(message, '250 2.0.0');
    await client.logIn(key, '535 5.7.8');
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<not an address>', '501 ');
    const sessionsOf = (subject: string) => listSessions(relay.db, { subject, limit: 10 });
    await eventually(async () => (await listSessions(relay.db, { limit: 10 })).some(({ rule }) => rule !== 'auth'));
    assert.deepEqual([(await sessionsOf(KEY)).length, (await sessionsOf(id)).length], [1, 0]);
  });

  it('may not log in amid a transaction, whose key would be another at its end: 503', async t => {
    const relay = await startTrusting(t, ['127.0.0.0/8']);
    const client = await SmtpClient.secured(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.logIn(relay.owner.apiKey, '503 5.5.1 AUTH is not for the middle of a transaction');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('RSET', '250 ');
    await client.logIn(relay.owner.apiKey);
  });

  it('hold for the address that the balancer names, not for its own', async t => {
    const relay = await startTrusting(t, ['10.1.0.0/16', '127.0.0.0/8'], { settings: proxied });
    const printer = await SmtpClient.greeted(t, relay, { preamble: PRINTER });
    await printer.transact(message, '250 2.0.0');
    const local = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
    for (const preamble of [PRINTER.replace('10.1.2.3', '10.2.2.3'), 'PROXY UNKNOWN\r\n', local]) {
      const stranger = await SmtpClient.greeted(t, relay, { preamble });
      await stranger.command('MAIL FROM:<a@acme.test>', '530 5.7.0');
    }
  });

  it('whose key was revoked have nothing any more', async t => {
    const relay = await startTrusting(t, ['127.0.0.0/8']);
    await relay.db.query('delete from api_keys where id = $1', [KEY]);
    const client = await SmtpClient.secured(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '530 5.7.0 Authentication required');
    assert.ok(relay.logs.some(({ msg }) => msg === 'the key of a trusted network does not exist or is refused'));
    await client.logIn(relay.owner.apiKey);
    await client.transact(message, '250 2.0.0');
  });

  it('that are taken away while it runs count no more, in open sessions either', async t => {
    const configuration = new ChangeableConfig();
    const relay = await startTrusting(t, ['127.0.0.0/8'], { live: configuration.live });
    const client = await SmtpClient.greeted(t, relay);
    await client.transact(message, '250 2.0.0');
    configuration.change({ trustedNetworks: [] });
    await client.command('MAIL FROM:<a@acme.test>', '530 5.7.0');
  });

  it('are none unless they are set', async t => {
    const relay = await startRelay(t, { queue: false });
    const client = await SmtpClient.greeted(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '530 5.7.0');
  });
});

it('the first network that holds an address counts', () => {
  const trust = createTrust([
    { network: '10.1.0.0/16', keyId: 'one' },
    { network: '10.0.0.0/8', keyId: 'two' },
    { network: '2001:db8::/32', keyId: 'three' },
  ]);
  const keys = ['10.1.2.3', '10.2.2.3', '::ffff:10.2.2.3', '2001:db8::7', '192.0.2.1', ''].map(trust);
  assert.deepEqual(keys, ['one', 'two', 'two', 'three', null, null]);
});

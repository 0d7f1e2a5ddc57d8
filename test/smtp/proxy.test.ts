import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../src/dev/ports.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const V1 = 'PROXY TCP4 192.0.2.7 198.51.100.2 55555 2587\r\n';
const V2 = Buffer.from('0d0a0d0a000d0a515549540a2111000cc0000207c6336402d9030a1b', 'hex');
const HERE = { 'proxyProtocol.networks': ['127.0.0.0/8'] };
const message = { from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') };

describe('known defect: a load balancer hides the client address: PROXY protocol', () => {
  for (const [version, preamble] of Object.entries({ V1, V2 })) {
    it(`${version}: the client's address is in the log, before STARTTLS and after`, async t => {
      const relay = await startRelay(t, { queue: false, settings: HERE });
      const client = await SmtpClient.loggedIn(t, relay, { preamble });
      const id = emailIdOf(await client.transact(message, '250 2.0.0'));
      assert.equal(relay.logs.find(({ emailId }) => emailId === id)?.['client'], '192.0.2.7');
    });
  }

  it('with the first command in the same packet', async t => {
    const relay = await startRelay(t, { queue: false, tls: false, settings: HERE });
    const preamble = Buffer.concat([V2, Buffer.from('EHLO early.test\r\nNOOP\r\n')]);
    const client = await SmtpClient.connect(t, relay, { preamble });
    await client.expect('220 ');
    await client.expect('250 ');
    await client.expect('250 2.0.0');
  });

  it('in front of implicit TLS', async t => {
    const settings = { ...HERE, 'tls.implicitPort': await freePort() };
    const relay = await startRelay(t, { queue: false, settings });
    const options = { port: relay.implicitTlsPort, implicitTls: true, preamble: V1 };
    const client = await SmtpClient.loggedIn(t, relay, options);
    const id = emailIdOf(await client.transact(message, '250 2.0.0'));
    assert.equal(relay.logs.find(({ emailId }) => emailId === id)?.['client'], '192.0.2.7');
  });

  it('a health check of the balancer itself (v2 LOCAL) is greeted', async t => {
    const relay = await startRelay(t, { queue: false, tls: false, settings: HERE });
    const preamble = Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex');
    const client = await SmtpClient.connect(t, relay, { preamble });
    await client.expect('220 ');
  });
});

describe('PROXY protocol: from trusted networks only', () => {
  it('is required from them', async t => {
    const relay = await startRelay(t, {
      queue: false,
      tls: false,
      settings: { ...HERE, 'proxyProtocol.headerTimeout': 200 },
    });
    const wrong = await SmtpClient.connect(t, relay, { preamble: 'EHLO direct.test\r\n' });
    await wrong.closed;
    assert.equal(wrong.unread, '', 'not even a greeting');
    const silent = await SmtpClient.connect(t, relay);
    await silent.closed;
    assert.equal(silent.unread, '');
    assert.ok(relay.logs.some(({ msg }) => msg === 'connection without a valid PROXY header'));
  });

  it('is refused from others', async t => {
    const settings = { 'proxyProtocol.networks': ['203.0.113.0/24'] };
    const relay = await startRelay(t, { queue: false, tls: false, settings });
    const client = await SmtpClient.connect(t, relay, { preamble: V1 });
    await client.expect('220 ');
    // To them it is a command like another that is not known.
    await client.expect('500 5.5.2');
    await client.command('EHLO client.test', '250 ');
    await client.logIn(relay.owner.apiKey);
    const id = emailIdOf(await client.transact(message, '250 2.0.0'));
    assert.equal(relay.logs.find(({ emailId }) => emailId === id)?.['client'], '127.0.0.1');
  });
});

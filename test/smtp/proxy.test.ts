import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { freePort } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
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
    const relay = await startRelay(t, { queue: false, settings: HERE });
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

  it('a health check of the balancer itself (v2 LOCAL), with addresses or without, is greeted', async t => {
    const relay = await startRelay(t, { queue: false, settings: HERE });
    for (const header of ['20000000', '2011000cc0000207c6336402d9030a1b', '20210004deadbeef']) {
      const preamble = Buffer.from(`0d0a0d0a000d0a515549540a${header}`, 'hex');
      const client = await SmtpClient.loggedIn(t, relay, { preamble });
      const id = emailIdOf(await client.transact(message, '250 2.0.0'));
      assert.equal(relay.logs.find(({ emailId }) => emailId === id)?.['client'], '127.0.0.1');
    }
  });

  it('with TLVs behind the addresses, as balancers in the cloud send them', async t => {
    const relay = await startRelay(t, { queue: false, settings: HERE });
    // AWS: a VPC endpoint's id (0xEA). And an authority (0x02), a unique id (0x05), padding (0x04).
    const tlvs = [
      'ea000c01',
      Buffer.from('vpce-123456').toString('hex'),
      '020004',
      Buffer.from('a.io').toString('hex'),
    ];
    const body = `c0000207c6336402d9030a1b${tlvs.join('')}0500020102040003000000`;
    const length = (body.length / 2).toString(16).padStart(4, '0');
    const preamble = Buffer.from(`0d0a0d0a000d0a515549540a2111${length}${body}`, 'hex');
    const client = await SmtpClient.loggedIn(t, relay, { preamble });
    const id = emailIdOf(await client.transact(message, '250 2.0.0'));
    assert.equal(relay.logs.find(({ emailId }) => emailId === id)?.['client'], '192.0.2.7');
  });

  it('a TCP check of the balancer, which says nothing, is in the log only for who debugs', async t => {
    const settings = { ...HERE, 'tls.implicitPort': await freePort() };
    const relay = await startRelay(t, { queue: false, settings });
    for (const port of [relay.port, relay.implicitTlsPort]) (await SmtpClient.connect(t, relay, { port })).end();
    const lines = () => relay.logs.filter(({ msg }) => msg === 'connection without a valid PROXY header');
    await eventually(() => lines().length === 2);
    assert.deepEqual(
      lines().map(({ level }) => level),
      [20, 20],
    );
    const wrong = await SmtpClient.connect(t, relay, { preamble: 'EHLO direct.test\r\n' });
    await wrong.closed;
    assert.equal(lines().at(-1)?.level, 30);
  });
});

describe('PROXY protocol: from trusted networks only', () => {
  it('is required from them', async t => {
    const relay = await startRelay(t, {
      queue: false,
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
    const relay = await startRelay(t, { queue: false, settings });
    const client = await SmtpClient.connect(t, relay, { preamble: V1 });
    await client.expect('220 ');
    // To them it is a command like another that is not known.
    await client.expect('500 5.5.2');
    await client.command('EHLO client.test', '250 ');
    await client.startTls();
    await client.command('EHLO client.test', '250 ');
    await client.logIn(relay.owner.apiKey);
    const id = emailIdOf(await client.transact(message, '250 2.0.0'));
    assert.equal(relay.logs.find(({ emailId }) => emailId === id)?.['client'], '127.0.0.1');
  });
});

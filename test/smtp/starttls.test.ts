import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import tls from 'node:tls';
import { startRelay } from '../support/relay.ts';
import { base64, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const relay = await startRelay({ after });
const plain = base64(`\0apikey\0${relay.owner.apiKey}`);

describe('known defect: AUTH is offered in clear text: only after STARTTLS where TLS is configured', () => {
  for (const line of [`AUTH PLAIN ${plain}`, 'AUTH PLAIN', 'AUTH LOGIN', 'auth login']) {
    it(`refuses ${line.slice(0, 12)} before it`, async t => {
      const client = await SmtpClient.greeted(t, relay);
      await client.command(line, '538 5.7.11');
      // What follows is a command again and not taken for a part of the log-in.
      await client.command('NOOP', '250 2.0.0');
    });
  }

  it('lets no MAIL pass before it', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '530 5.7.0');
  });
});

describe('STARTTLS', () => {
  it('opens the way to a message', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const message = { from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') };
    await client.transact(message, '250 2.0.0');
  });

  it('takes no parameter, and comes once', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.command('STARTTLS now', '501 5.5.4');
    await client.startTls();
    await client.command('STARTTLS', '503 5.5.1');
  });

  it('makes the session forget what was said before it (RFC 3207 section 4.2)', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.startTls();
    // EHLO too: there has been none in this session.
    await client.command(`AUTH PLAIN ${plain}`, '503 5.5.1');
    await client.command('EHLO client.test', '250 ');
    await client.logIn(relay.owner.apiKey);
  });

  it('throws away commands injected behind it in clear text', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.send('STARTTLS\r\nEHLO injected.test\r\nRSET\r\nNOOP\r\n');
    await client.expect('220 ');
    await client.handshake();
    // Neither answered nor remembered: the next reply is the one to this, and EHLO is still due.
    await client.command('VRFY someone', '252 ');
    await client.command('MAIL FROM:<a@acme.test>', '503 5.5.1');
    assert.equal(client.unread, '');
  });

  it('is the last of what came in one packet', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.send('EHLO client.test\r\nNOOP\r\nSTARTTLS\r\nEHLO injected.test\r\n');
    await client.expect('250 ');
    await client.expect('250 ');
    await client.expect('220 ');
    await client.handshake();
    await client.command('MAIL FROM:<a@acme.test>', '503 5.5.1');
    await client.command('EHLO client.test', '250 ');
    assert.equal(client.unread, '');
  });

  it('throws away a long injection, which outlasts the handshake', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.send(`STARTTLS\r\n${'NOOP\r\n'.repeat(5_000)}EHLO injected.test\r\nNO`);
    await client.expect('220 ');
    await client.handshake();
    await client.command('MAIL FROM:<a@acme.test>', '503 5.5.1');
    await client.command('EHLO client.test', '250 ');
    assert.equal(client.unread, '');
  });
});

describe('TLS', () => {
  it('is version 1.2 or later', async t => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const client = await SmtpClient.greeted(t, relay);
      await client.startTls({ minVersion: version, maxVersion: version });
      assert.equal((client.socket as tls.TLSSocket).getProtocol(), version);
    }
    const old = await SmtpClient.greeted(t, relay);
    const options = { minVersion: 'TLSv1' as const, maxVersion: 'TLSv1.1' as const, ciphers: 'DEFAULT@SECLEVEL=0' };
    await assert.rejects(old.startTls(options), /protocol version/i);
  });

  it('does not renegotiate', async t => {
    const client = await SmtpClient.secured(t, relay, { tls: { maxVersion: 'TLSv1.2' } });
    const socket = client.socket as tls.TLSSocket;
    const outcome = await new Promise(resolve => {
      socket.once('error', resolve);
      socket.renegotiate({}, resolve);
    });
    assert.match(String(outcome), /renegotiation/i);
  });

  it('survives a handshake that fails', async t => {
    const broken = await SmtpClient.greeted(t, relay);
    await broken.command('STARTTLS', '220 ');
    await broken.send('this is no ClientHello\r\n');
    await broken.closed;
    await SmtpClient.secured(t, relay);
  });

  it('presents the configured certificate', async t => {
    const client = await SmtpClient.secured(t, relay);
    const socket = client.socket as tls.TLSSocket;
    assert.equal(socket.authorized, true);
    assert.equal(tls.checkServerIdentity('localhost', socket.getPeerCertificate()), undefined);
  });
});

it('is no command where TLS is not configured', async t => {
  const clear = await startRelay(t, { tls: false, queue: false });
  const client = await SmtpClient.greeted(t, clear);
  await client.command('STARTTLS', '500 5.5.2');
});

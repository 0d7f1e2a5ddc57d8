import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const relay = await startRelay({ after });
// What is announced where there is no TLS, and what devices say that know none.
const clear = await startRelay({ after }, { tls: false, settings: { maxMessageSizeBytes: 12_345 } });

const standalone = await startRelay({ after }, { queue: false, settings: { pipeline: 'standalone' } });

const EXTENSIONS = ['8BITMIME', 'ENHANCEDSTATUSCODES', 'LIMITS RCPTMAX=50', 'PIPELINING', 'SIZE 47185920', 'SMTPUTF8'];

describe('EHLO', () => {
  it('announces STARTTLS and no AUTH before it', async t => {
    const client = await SmtpClient.connect(t, relay);
    await client.expect('220 ');
    const [name, ...extensions] = (await client.command('EHLO client.test', '250 ')).lines;
    assert.equal(name, 'relay.test');
    assert.deepEqual(extensions.sort(), [...EXTENSIONS, 'STARTTLS'].sort());
  });

  it('announces AUTH and no STARTTLS behind it', async t => {
    const client = await SmtpClient.connect(t, relay);
    await client.expect('220 ');
    await client.command('EHLO client.test', '250 ');
    await client.startTls();
    const [, ...extensions] = (await client.command('EHLO client.test', '250 ')).lines;
    assert.deepEqual(extensions.sort(), [...EXTENSIONS, 'AUTH PLAIN LOGIN'].sort());
  });

  it('announces AUTH in clear, no STARTTLS, and the configured SIZE where TLS is not configured', async t => {
    const client = await SmtpClient.connect(t, clear);
    await client.expect('220 ');
    const [, ...extensions] = (await client.command('EHLO client.test', '250 ')).lines;
    const expected = [...EXTENSIONS.filter(name => !name.startsWith('SIZE')), 'SIZE 12345', 'AUTH PLAIN LOGIN'];
    assert.deepEqual(extensions.sort(), expected.sort());
  });

  it('announces no AUTH to a client that has logged in', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const { lines } = await client.command('EHLO client.test', '250 ');
    assert.ok(!lines.some(line => line.startsWith('AUTH')), lines.join());
  });

  it('forgets the transaction under way (RFC 5321 section 4.1.4)', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 2.1.0');
    await client.command('EHLO client.test', '250 ');
    await client.command('RCPT TO:<b@example.com>', '503 5.5.1');
    await client.command('MAIL FROM:<a@acme.test>', '250 2.1.0');
  });
});

describe('HELO', () => {
  it('is answered by one line, and mail can follow', async t => {
    const client = await SmtpClient.connect(t, clear);
    await client.expect('220 ');
    assert.deepEqual((await client.command('HELO client.test', '250 ')).lines, ['relay.test']);
    await client.logIn(clear.owner.apiKey);
    await client.command('MAIL FROM:<a@acme.test>', '250 2.1.0');
  });
});

describe('known defect: old devices send no EHLO name', () => {
  const greetings = ['EHLO', 'EHLO ', 'HELO', 'ehlo', 'hElO printer', 'EHLO my old printer', 'EHLO [192.168.0.7]'];
  for (const line of [...greetings, `EHLO ${'x'.repeat(1000)}`]) {
    it(`takes ${JSON.stringify(line.slice(0, 30))}`, async t => {
      const client = await SmtpClient.connect(t, clear);
      await client.expect('220 ');
      await client.command(line, '250 ');
      await client.logIn(clear.owner.apiKey);
    });
  }
});

describe('odd names', () => {
  it('with a control character get 501, and the session goes on', async t => {
    const client = await SmtpClient.secured(t, relay);
    for (const name of ['a\0b', 'a\x1b[31m', 'a\rb', 'a\u0085b']) await client.command(`EHLO ${name}`, '501 5.5.2');
    await client.command('HELO a\x7f', '501 5.5.2');
    await client.command('EHLO client.test', '250 ');
  });

  for (const name of [
    'jürgen.test',
    'a\u2028b',
    '\ufeff',
    '日本',
    '"quoted"',
    "x'; drop table emails; --",
    '<script>',
    '%s%n',
  ]) {
    it(`${JSON.stringify(name)} never makes a message fail`, async t => {
      for (const server of [relay, standalone]) {
        const client = await SmtpClient.greeted(t, server);
        await client.startTls();
        await client.command(`EHLO ${name}`, '250 ');
        await client.logIn(server.owner.apiKey);
        const data = messageFrom('a@acme.test');
        await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0');
      }
    });
  }

  it('of bytes that are no UTF-8 likewise', async t => {
    const client = await SmtpClient.greeted(t, standalone);
    await client.startTls();
    await client.send(Buffer.from('EHLO b\xfccher\r\n', 'latin1'));
    await client.expect('250 ');
    await client.logIn(standalone.owner.apiKey);
    const data = messageFrom('a@acme.test');
    await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0');
    const { rows } = await standalone.db.query("select helo from smtp_relay_messages where helo like 'b%cher'");
    assert.equal(rows[0]?.helo, 'b?cher');
  });
});

it('announces the recipients that a message may have (RFC 9422)', async t => {
  const other = await startRelay(t, { queue: false, settings: { 'limits.recipients': 7 } });
  const client = await SmtpClient.greeted(t, other);
  const { lines } = await client.command('EHLO client.test', '250 ');
  assert.ok(lines.includes('LIMITS RCPTMAX=7'), lines.join());
});

it('asks for EHLO first', async t => {
  const client = await SmtpClient.connect(t, clear);
  await client.expect('220 ');
  await client.command('AUTH PLAIN AHgAeA==', '503 5.5.1');
  await client.command('MAIL FROM:<a@acme.test>', '503 5.5.1');
  await client.command('EHLO client.test', '250 ');
});

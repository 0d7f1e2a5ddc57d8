import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { SmtpClient } from '../support/smtp-client.ts';

const relay = await startRelay({ after });
const clear = await startRelay({ after }, { tls: false, settings: { maxMessageSizeBytes: 12_345 } });

const EXTENSIONS = ['8BITMIME', 'ENHANCEDSTATUSCODES', 'PIPELINING', 'SIZE 47185920', 'SMTPUTF8'];

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

it('asks for EHLO first', async t => {
  const client = await SmtpClient.connect(t, clear);
  await client.expect('220 ');
  await client.command('AUTH PLAIN AHgAeA==', '503 5.5.1');
  await client.command('MAIL FROM:<a@acme.test>', '503 5.5.1');
  await client.command('EHLO client.test', '250 ');
});

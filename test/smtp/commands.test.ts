import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const relay = await startRelay({ after }, { queue: false });

describe('commands', () => {
  it('NOOP, RSET and VRFY, in any case, and QUIT', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('noop', '250 2.0.0');
    await client.command('NOOP with words', '250 2.0.0');
    await client.command('Rset', '250 2.0.0');
    await client.command('VRFY someone@example.com', '252 2.');
    await client.command('quit', '221 2.0.0');
    await client.closed;
  });

  it('RSET forgets the transaction, not the log-in', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('RSET', '250 ');
    await client.command('DATA', '503 5.5.1');
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
  });

  it('DATA and RSET take no parameter: 501', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    for (const line of ['DATA x', 'data 100', 'RSET x']) await client.command(line, '501 5.5.4');
    await client.command('DATA ', '354 ');
    await client.command(`${messageFrom('a@acme.test')}\r\n.`, '250 2.0.0');
  });

  for (const line of [
    'FOO',
    'BDAT 100 LAST',
    'EXPN list',
    'HELP',
    'WIZ',
    'SHELL',
    'KILL',
    'XCLIENT NAME=x',
    '',
    ' ',
    '\0',
  ]) {
    it(`does not know ${JSON.stringify(line)}`, async t => {
      const client = await SmtpClient.loggedIn(t, relay);
      await client.command(line, '50');
      await client.command('NOOP', '250 2.0.0');
    });
  }

  it('that are unknown end the session when there are many', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.send('FOO\r\n'.repeat(20));
    for (let count = 1; count < 10; count += 1) await client.expect('500 5.5.2');
    await client.expect('421 ');
    await client.closed;
  });

  it('without a log-in end the session when there are many', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.send('NOOP\r\n'.repeat(200));
    let reply = await client.reply();
    while (reply.code === 250) reply = await client.reply();
    assert.equal(reply.code, 421);
    await client.closed;
  });
});

describe('what a client does wrong is in the log, within bounds', () => {
  it('a session has so many lines, and as many again for each message', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const before = relay.logs.length;
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.send('RCPT TO:<jürgen@example.com>\r\n'.repeat(500));
    for (let count = 0; count < 500; count += 1) await client.expect('553 5.6.7');
    assert.equal(relay.logs.slice(before).filter(({ msg }) => msg === 'refused').length, 25);
    assert.equal(relay.logs.slice(before).filter(({ msg }) => msg.startsWith('no more is logged')).length, 1);
    await client.command('RSET', '250 ');
    const data = messageFrom('a@acme.test');
    await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0');
    await client.command('MAIL FROM:<jürgen@acme.test>', '553 5.6.7');
    assert.equal(relay.logs.at(-1)?.msg, 'refused');
  });
});

describe('command lines', () => {
  it('that are too long get their own reply, and the session goes on', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command(`NOOP ${'x'.repeat(2043)}`, '250 2.0.0');
    await client.command(`NOOP ${'x'.repeat(2044)}`, '500 5.5.2');
    await client.command(`MAIL FROM:<a@acme.test> ${'X'.repeat(5000)}`, '500 5.5.2');
    await client.command('NOOP', '250 2.0.0');
  });

  it('without an end are not collected in memory: 421', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.send('x'.repeat(20_000));
    await client.expect('421 4.5.2');
    await client.closed;
  });

  it('of HTTP end the session', async t => {
    const client = await SmtpClient.greeted(t, relay);
    await client.command('POST / HTTP/1.1', '421 ');
    await client.closed;
  });
});

it('every reply carries an enhanced status code of its own class, but those that RFC 2034 excepts', async t => {
  const client = await SmtpClient.connect(t, relay);
  const replies = [await client.expect('220 relay.test ESMTP'), await client.command('EHLO x', '250 ')];
  assert.ok(replies.flatMap(({ lines }) => lines).every(line => !/^\d\.\d\.\d/.test(line)));
  await client.startTls();
  await client.command('EHLO x', '250 ');
  const lines = ['NOOP', 'RSET', 'VRFY', 'VRFY x', 'FOO', 'DATA', 'AUTH', 'AUTH X', 'AUTH PLAIN x', 'AUTH PLAIN AAA='];
  for (const line of [...lines, 'MAIL FROM:<>', 'STARTTLS']) {
    const { code, last } = await client.command(line, '');
    assert.equal(last.slice(4, 6), `${Math.floor(code / 100)}.`, `${line}: ${last}`);
  }
  await client.logIn(relay.owner.apiKey);
  for (const line of [
    'MAIL FROM',
    'MAIL FROM:<> X=1',
    'MAIL FROM:<> SIZE=x',
    'RCPT TO:<>',
    'DATA',
    'MAIL FROM:<>',
    'QUIT',
  ]) {
    const { code, last } = await client.command(line, '');
    assert.equal(last.slice(4, 6), `${Math.floor(code / 100)}.`, `${line}: ${last}`);
  }
});

it('a reply never carries control characters of a command', async t => {
  const client = await SmtpClient.loggedIn(t, relay);
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  const { last } = await client.command('RCPT TO:<b@example.com> A\rB=\x1b[31m', '5');
  assert.doesNotMatch(last, /\p{Cc}/u);
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
  await client.command(`${messageFrom('a@acme.test')}\r\n.`, '250 2.0.0');
});

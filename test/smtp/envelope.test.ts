import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const relay = await startRelay({ after }, { settings: { pipeline: 'standalone', 'limits.recipients': 3 } });

/** Sends MAIL lines, each with RSET behind it. */
function mail(name: string, lines: readonly (readonly [line: string, reply: string])[]): void {
  it(name, async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    for (const [line, reply] of lines) {
      await client.command(line, reply);
      await client.command('RSET', '250 2.0.0');
    }
  });
}

/** Sends RCPT lines in one transaction. */
function rcpt(name: string, lines: readonly (readonly [line: string, reply: string])[]): void {
  it(name, async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 2.1.0');
    for (const [line, reply] of lines) await client.command(line, reply);
  });
}

describe('MAIL', () => {
  mail('takes the null reverse-path', [['MAIL FROM:<>', '250 2.1.0']]);
  mail('known defect: old devices write verbs in lower case: accepted', [['mail from:<a@acme.test>', '250 2.1.0']]);
  mail('known defect: old devices send addresses without angle brackets: accepted', [
    ['MAIL FROM:a@acme.test', '250 2.1.0'],
    ['MAIL FROM: a@acme.test SIZE=100', '250 2.1.0'],
  ]);
  mail('takes white space around the path', [['MAIL FROM: < a@acme.test > SIZE=10', '250 2.1.0']]);
  mail('takes quoted local parts, address literals and source routes', [
    ['MAIL FROM:<"a b"@acme.test>', '250 2.1.0'],
    ['MAIL FROM:<"a>b"@acme.test>', '250 2.1.0'],
    ['MAIL FROM:<a@[192.0.2.1]>', '250 2.1.0'],
    ['MAIL FROM:<@one.test,@two.test:a@acme.test>', '250 2.1.0'],
  ]);
  for (const bad of [
    'MAIL',
    'MAIL FROM',
    'MAIL FROM:',
    'MAIL TO:<a@acme.test>',
    'MAIL <a@acme.test>',
    'MAIL FROM:<a@acme.test',
    'MAIL FROM:a@acme.test>',
    'MAIL FROM:<acme.test>',
    'MAIL FROM:<a@>',
    'MAIL FROM:<@acme.test>',
    'MAIL FROM:<a@b@acme.test>',
    'MAIL FROM:<a b@acme.test>',
    'MAIL FROM:<a@acme.test>SIZE=10',
    'MAIL FROM:<a@acme.test> <b@acme.test>',
    'MAIL FROM:<a@acme..test>',
    'MAIL FROM:<a@acme.test> =x',
    'MAIL FROM:<a@acme.test> SIZE=',
    'MAIL FROM:<a@acme.test> SIZE',
    'MAIL FROM:<a@acme.test> SIZE=ten',
    'MAIL FROM:<a@acme.test> SIZE=-1',
    'MAIL FROM:<a@acme.test> SIZE=1 SIZE=2',
    'MAIL FROM:<a@acme.test> BODY=BINARYMIME',
    'MAIL FROM:<a@acme.test> BODY',
    'MAIL FROM:<a@acme.test> SMTPUTF8=yes',
  ]) {
    mail(`refuses ${bad}`, [[bad, '501 5']]);
  }
  mail('takes the announced parameters', [
    ['MAIL FROM:<a@acme.test> SIZE=0', '250 2.1.0'],
    ['MAIL FROM:<a@acme.test> size=47185920 body=8bitmime smtputf8', '250 2.1.0'],
    ['MAIL FROM:<a@acme.test> BODY=7BIT', '250 2.1.0'],
  ]);
  mail('ignores AUTH= (RFC 4954 section 5)', [
    ['MAIL FROM:<a@acme.test> AUTH=<>', '250 2.1.0'],
    ['MAIL FROM:<a@acme.test> AUTH=e+3Dmc2@example.com', '250 2.1.0'],
  ]);
  mail('known defect: unknown parameters are accepted: 555', [
    ['MAIL FROM:<a@acme.test> RET=FULL', '555 5.5.4'],
    ['MAIL FROM:<a@acme.test> SIZE=1 ENVID=x', '555 5.5.4'],
    ['MAIL FROM:<a@acme.test> REQUIRETLS', '555 5.5.4'],
    ['MAIL FROM:<a@acme.test> HOLDFOR=60', '555 5.5.4'],
    ['MAIL FROM:<a@acme.test> FOO', '555 5.5.4'],
  ]);
  mail('refuses a declared size over the limit', [
    ['MAIL FROM:<a@acme.test> SIZE=47185921', '552 5.3.4'],
    ['MAIL FROM:<a@acme.test> SIZE=99999999999999999999', '552 5.3.4'],
  ]);
  mail('refuses a local part that the transport cannot deliver', [
    ['MAIL FROM:<jürgen@acme.test>', '553 5.6.7'],
    ['MAIL FROM:<jürgen@acme.test> SMTPUTF8', '553 5.6.7'],
  ]);

  it('comes once a transaction', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test>', '250 2.1.0');
    await client.command('MAIL FROM:<b@acme.test>', '503 5.5.1');
    await client.command('RCPT TO:<b@example.com>', '250 2.1.5');
  });

  it('sets nothing where it is refused', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('MAIL FROM:<a@acme.test> BODY=8BITMIME SMTPUTF8 FOO=1', '555 5.5.4');
    await client.command('RCPT TO:<b@example.com>', '503 5.5.1');
    const message = { from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') };
    const id = emailIdOf(await client.transact(message, '250 2.0.0'));
    const { rows } = await relay.db.query('select body_type, smtp_utf8 from smtp_relay_messages where email_id = $1', [
      id,
    ]);
    assert.deepEqual(rows, [{ body_type: '7bit', smtp_utf8: false }]);
  });
});

describe('RCPT', () => {
  rcpt('known defect: old devices write no angle brackets and lower case: accepted', [
    ['rcpt to:b@example.com', '250 2.1.5'],
    ['RCPT TO: b@example.com', '250 2.1.5'],
  ]);
  for (const bad of ['RCPT', 'RCPT TO:', 'RCPT TO:<>', 'RCPT TO:<b@>', 'RCPT FROM:<b@example.com>']) {
    rcpt(`refuses ${bad}`, [[bad, '501 5']]);
  }
  rcpt('knows no parameter', [
    ['RCPT TO:<b@example.com> NOTIFY=NEVER', '555 5.5.4'],
    ['RCPT TO:<b@example.com> ORCPT=rfc822;b@example.com', '555 5.5.4'],
    ['RCPT TO:<b@example.com> FOO', '555 5.5.4'],
    ['RCPT TO:<b@example.com>', '250 2.1.5'],
  ]);
  rcpt('refuses a local part that the transport cannot deliver', [['RCPT TO:<jürgen@example.com>', '553 5.6.7']]);
  rcpt('refuses recipients past the limit, and keeps those before', [
    ['RCPT TO:<1@example.com>', '250 2.1.5'],
    ['RCPT TO:<2@example.com>', '250 2.1.5'],
    ['RCPT TO:<3@example.com>', '250 2.1.5'],
    ['RCPT TO:<4@example.com>', '452 4.5.3'],
    // One that is named again is not another one.
    ['RCPT TO:<3@example.com>', '250 2.1.5'],
    ['DATA', '354 '],
  ]);

  it('asks for MAIL first', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.command('RCPT TO:<b@example.com>', '503 5.5.1');
    await client.command('DATA', '503 5.5.1');
    await client.command('MAIL FROM:<a@acme.test>', '250 2.1.0');
    await client.command('DATA', '503 5.5.1');
  });
});

describe('known defect: domains become Unicode: they are kept as A-labels', () => {
  for (const domain of ['bücher.example', 'xn--bcher-kva.example', 'BÜCHER.example']) {
    it(domain, async t => {
      const client = await SmtpClient.loggedIn(t, relay);
      const message = { from: `bounce@${domain}`, to: [`b@${domain}`], data: messageFrom('a@acme.test') };
      const id = emailIdOf(await client.transact(message, '250 2.0.0'));
      const { rows } = await relay.db.query(
        'select bcc, reverse_path, recipients from emails join smtp_relay_messages on email_id = id where id = $1',
        [id],
      );
      const address = (local: string) => `${local}@xn--bcher-kva.example`;
      assert.deepEqual(rows, [{ bcc: [address('b')], reverse_path: address('bounce'), recipients: [address('b')] }]);
    });
  }
});

it('takes other characters than ASCII where the transport can deliver them', async t => {
  const settings = { pipeline: 'standalone', transport: 'capture' };
  const capture = await startRelay(t, { settings, queue: false });
  const client = await SmtpClient.loggedIn(t, capture);
  await client.command('MAIL FROM:<jürgen@acme.test>', '553 5.6.7');
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<jürgen@example.com>', '553 5.6.7');
  await client.command('RSET', '250 ');
  await client.command('MAIL FROM:<jürgen@acme.test> SMTPUTF8', '250 ');
  // Latin-1 would become another address.
  await client.send(Buffer.from('RCPT TO:<jos\xe9@example.com>\r\n', 'latin1'));
  await client.expect('501 5.1.3');
  await client.command('RCPT TO:<jürgen@bücher.example>', '250 ');
  await client.command('DATA', '354 ');
  await client.send(`${messageFrom('a@acme.test')}\r\n.\r\n`);
  const id = emailIdOf(await client.expect('250 2.0.0'));
  const { rows } = await capture.db.query('select bcc from emails where id = $1', [id]);
  assert.deepEqual(rows, [{ bcc: ['jürgen@xn--bcher-kva.example'] }]);
});

it('has limits of its own for each pipeline: 50 recipients beside OpenSend, 1,000 standalone', async t => {
  for (const [pipeline, limit] of [
    ['opensend', 50],
    ['standalone', 1000],
  ] as const) {
    const other = await startRelay(t, { settings: { pipeline }, queue: false });
    const client = await SmtpClient.loggedIn(t, other);
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    const lines = Array.from({ length: limit + 1 }, (_, index) => `RCPT TO:<${index}@example.com>\r\n`);
    await client.send(lines.join(''));
    for (let index = 0; index < limit; index += 1) await client.expect('250 2.1.5');
    await client.expect('452 4.5.3');
  }
});

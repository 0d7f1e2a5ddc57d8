import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { base64, emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const strict = await startRelay({ after }, { settings: { pipeline: 'standalone' } });
const lenient = await startRelay({ after }, { settings: { pipeline: 'standalone', bareLineEndings: 'accept' } });

/** Ends of data that some server takes for one, and SMTP does not (RFC 5321 section 4.1.1.4). */
const FALSE_ENDS = [
  '\n.\n',
  '\n.\r\n',
  '\r\n.\n',
  '\r.\r',
  '\r.\r\n',
  '\r\n.\r',
  '\r.\n',
  '\n.\r',
  '\r\n.\r\r\n',
  '\n\n.\r\n',
  '\r\n.\r\0\n',
  '\r\n\0.\r\n',
  '\r\n.\0\r\n',
  '\n.\n.\n',
  '\r\n..\r\n',
  '\r\n. \r\n',
];
const SMUGGLED = 'MAIL FROM:<evil@acme.test>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\nSubject: smuggled';

async function rows(relay: typeof strict, ...ids: string[]) {
  const sql = 'select raw, recipients from smtp_relay_messages where email_id = any($1::uuid[])';
  return (await relay.db.query<{ raw: Buffer; recipients: string[] }>(sql, [ids])).rows;
}

async function count(relay: typeof strict): Promise<number> {
  const { rows } = await relay.db.query('select count(*)::int as n from emails');
  return rows[0].n;
}

describe('known defect: bare LF end-of-data is SMTP smuggling: nothing but CRLF . CRLF ends a message', () => {
  for (const [policy, relay] of [
    ['reject', strict],
    ['accept', lenient],
  ] as const) {
    for (const end of FALSE_ENDS) {
      it(`${JSON.stringify(end)}, bareLineEndings: ${policy}`, async t => {
        const client = await SmtpClient.loggedIn(t, relay);
        const before = await count(relay);
        await client.command('MAIL FROM:<a@acme.test>', '250 ');
        await client.command('RCPT TO:<b@example.com>', '250 ');
        await client.command('DATA', '354 ');
        await client.send(`${messageFrom('a@acme.test')}${end}${SMUGGLED}\r\n.\r\n`);
        const reply = await client.reply();
        // One message, one reply; had the false end counted, the smuggled commands would have been answered.
        await client.command('NOOP', '250 2.0.0');
        assert.equal(client.unread, '');
        const stored = reply.code === 250;
        assert.equal(await count(relay), before + (stored ? 1 : 0));
        if (!stored) return;
        const [row] = await rows(relay, emailIdOf(reply));
        assert.deepEqual(row?.recipients, ['b@example.com']);
        assert.ok(row?.raw.toString().endsWith(`${SMUGGLED}\r\n`));
        // What is stored cannot smuggle at the next server either.
        assert.doesNotMatch(row?.raw.toString('latin1') ?? '', /[^\r]\n|\r[^\n]/);
      });
    }
  }
});

describe('bare CR and LF', () => {
  const BODIES = ['one\ntwo', 'one\rtwo', '\ntwo', 'one\n', 'one\r', 'one\r\r\ntwo', 'one\n\rtwo'];
  for (const body of BODIES) {
    it(`${JSON.stringify(body)} is refused, and the session goes on`, async t => {
      const client = await SmtpClient.loggedIn(t, strict);
      const message = { from: 'a@acme.test', to: ['b@example.com'] };
      await client.transact({ ...message, data: messageFrom('a@acme.test', { body }) }, '550 5.6.11');
      await client.transact({ ...message, data: messageFrom('a@acme.test') }, '250 2.0.0');
    });
  }

  it('are refused in the header too', async t => {
    const client = await SmtpClient.loggedIn(t, strict);
    const data = messageFrom('a@acme.test').replace('\r\n', '\n');
    await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '550 5.6.11');
  });

  it('known defect: old devices send bare LF lines: normalised under bareLineEndings: accept', async t => {
    const client = await SmtpClient.loggedIn(t, lenient);
    const data = messageFrom('a@acme.test', { body: 'one\ntwo\rthree\r\nfour\n..\n.five' }).replaceAll('\r\n', '\n');
    const reply = await client.transact({ from: 'a@acme.test', to: ['b@example.com'], data }, '250 2.0.0');
    const [row] = await rows(lenient, emailIdOf(reply));
    const body = row?.raw.toString().split('\r\n\r\n')[1];
    assert.equal(body, 'one\r\ntwo\r\nthree\r\nfour\r\n.\r\n.five\r\n');
  });

  it('a bare LF ends no command: 500, and what it was to hide is not run', async t => {
    const client = await SmtpClient.loggedIn(t, strict);
    await client.send('NOOP\nNOOP\r\n');
    await client.expect('500 5.5.2 Commands must end with CR LF');
    await client.expect('250 2.0.0');
    await client.send('MAIL FROM:<a@acme.test>\n');
    await client.expect('500 5.5.2');
    await client.command('RCPT TO:<b@example.com>', '503 ');
    await client.command('AUTH LOGIN', '503 5.5.1 Already');
  });

  it('nor an answer to AUTH; and many of them are the end', async t => {
    const client = await SmtpClient.secured(t, strict);
    await client.command('AUTH LOGIN', '334 ');
    await client.send(`${base64('apikey')}\n`);
    await client.expect('500 5.5.2');
    await client.send('NOOP\n'.repeat(20));
    let reply = await client.reply();
    for (; reply.code === 500; reply = await client.reply());
    assert.match(reply.last, /^421 4\.7\.0/);
    await client.closed;
  });

  it('under bareLineEndings: accept it is an end of line as any other', async t => {
    const client = await SmtpClient.loggedIn(t, lenient);
    await client.send('NOOP\nNOOP\r\n');
    await client.expect('250 2.0.0');
    await client.expect('250 2.0.0');
  });

  it('a bare CR in a command is no white space: 501', async t => {
    const client = await SmtpClient.loggedIn(t, lenient);
    for (const line of ['MAIL FROM:<a@acme.test>\r', 'MAIL FROM:\r<a@acme.test>', 'MAIL FROM:<a@acme.test> \rSIZE=1']) {
      await client.command(line, '501 5.5.2');
    }
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    for (const line of ['RCPT TO:<b@example.com>\r', 'RCPT TO:\r<b@example.com>', 'RCPT TO:<b@exam\rple.com>']) {
      await client.command(line, '501 5.5.2');
    }
    await client.command('DATA', '503 ');
  });
});

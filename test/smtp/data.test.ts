import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const relay = await startRelay({ after }, { settings: { pipeline: 'standalone' } });
const envelope = { from: 'a@acme.test', to: ['b@example.com'] };

async function rawOf(id: string): Promise<string> {
  const { rows } = await relay.db.query('select raw from smtp_relay_messages where email_id = $1', [id]);
  return rows[0]?.raw.toString('latin1');
}

async function openData(client: SmtpClient): Promise<void> {
  await client.command('MAIL FROM:<a@acme.test>', '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

describe('DATA', () => {
  it('is answered with the id of the row, which is queued', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const reply = await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0 Ok: queued as ');
    const { rows } = await relay.db.query('select status, user_id, subject from emails where id = $1', [
      emailIdOf(reply),
    ]);
    assert.deepEqual(rows, [{ status: 'queued', user_id: relay.owner.userId, subject: 'Hello' }]);
    const job = await eventually(async () => (await relay.queue?.receiveAll())?.[0]);
    assert.equal(JSON.parse(job?.Body ?? '').emailId, emailIdOf(reply));
  });

  it('takes dots at the start of lines off, wherever the packets are cut', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const sent = `${messageFrom('a@acme.test', { body: '..\r\n...a\r\n.b.\r\nc\r\n..\r\n\r\n..' })}\r\n.\r\nNOOP\r\n`;
    const stored = `${messageFrom('a@acme.test', { body: '.\r\n..a\r\nb.\r\nc\r\n.\r\n\r\n.' })}\r\n`;
    const start = sent.indexOf('\r\n\r\n');
    const cuts = Array.from({ length: sent.length - start }, (_, index) => start + index);
    for (const cut of cuts) {
      await openData(client);
      await client.send(sent.slice(0, cut), sent.slice(cut));
      const id = emailIdOf(await client.expect('250 2.0.0 Ok'));
      await client.expect('250 2.0.0 OK');
      assert.equal(await rawOf(id), stored, `cut at ${cut}`);
    }
    await openData(client);
    await client.send(...sent);
    assert.equal(await rawOf(emailIdOf(await client.expect('250 2.0.0 Ok'))), stored, 'cut everywhere');
  });

  it('keeps 8-bit text as it was sent', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const data = Buffer.from(messageFrom('a@acme.test', { body: 'gr\u00fc\u00dfe \u00ff\u0080\u0001' }), 'latin1');
    const reply = await client.transact({ ...envelope, data }, '250 2.0.0');
    assert.equal(await rawOf(emailIdOf(reply)), `${data.toString('latin1')}\r\n`);
  });

  it('gives NUL bytes a definite answer', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact({ ...envelope, data: messageFrom('a@acme.test', { body: 'a\0b' }) }, '554 5.6.0');
    await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0');
  });

  it('gives an empty message a definite answer', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    await client.command('.', '550 5.7.1');
    await openData(client);
    await client.command('\r\n.', '550 5.7.1');
    await client.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0');
  });

  it('takes ten megabytes of dots as it takes other text, and serves others meanwhile', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const other = await SmtpClient.loggedIn(t, relay);
    /** @returns microseconds of processor time, which do not count what else keeps the machine busy */
    async function take(line: string): Promise<number> {
      await openData(client);
      const started = process.cpuUsage();
      // A long line is refused for its length; every one of these is short.
      const packet = Buffer.from(line.repeat(256 * 1024));
      const packets = Array.from({ length: 10 }, () => packet);
      const sending = client.send(messageFrom('a@acme.test'), '\r\n', ...packets, '.\r\n');
      for (let round = 0; round < 20; round += 1) await other.command('NOOP', '250 ');
      assert.equal(client.unread, '', 'the other client was served first');
      await sending;
      await client.expect('250 2.0.0');
      const { user, system } = process.cpuUsage(started);
      return user + system;
    }
    await take('xx\r\n');
    // The least of two each: what else the process does only adds.
    const texts: number[] = [];
    const dots: number[] = [];
    for (let round = 0; round < 2; round += 1) {
      texts.push(await take('xx\r\n'));
      dots.push(await take('..\r\n'));
    }
    const ratio = Math.min(...dots) / Math.min(...texts);
    // Each line is cut. With smtp-server's own decoder it would be more than five times as long.
    assert.ok(ratio < 4, `${ratio} times as long`);
  });
});

describe('a client that goes away in mid-DATA', () => {
  for (const [name, leave] of [
    ['by a half-closed connection', (client: SmtpClient) => client.end()],
    ['without a word', (client: SmtpClient) => client.destroy()],
    ['by a reset', (client: SmtpClient) => client.reset()],
  ] as const) {
    it(`leaves nothing stored: ${name}`, async t => {
      const other = await startRelay(t, { queue: false });
      const client = await SmtpClient.loggedIn(t, other);
      await openData(client);
      // All but the last byte of the end.
      await client.send(`${messageFrom('a@acme.test')}\r\n.\r`);
      leave(client);
      await client.closed;
      // The next message is stored behind it, so that one that is late would be seen.
      const next = await SmtpClient.loggedIn(t, other);
      const id = emailIdOf(await next.transact({ ...envelope, data: messageFrom('a@acme.test') }, '250 2.0.0'));
      const { rows } = await other.db.query('select id from emails');
      assert.deepEqual(rows, [{ id }]);
    });
  }
});

describe('several messages in one session', () => {
  it('with failed ones between', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const good = { ...envelope, data: messageFrom('a@acme.test') };
    const ids = new Set<string>();
    for (const [data, expected] of [
      [good.data, '250 2.0.0'],
      [messageFrom('a@other.test'), '550 5.7.1'],
      [good.data, '250 2.0.0'],
      ['Subject: no sender\r\n\r\nHi', '550 5.7.1'],
      ['no header\r\n\r\nHi', '554 5.6.0'],
      [good.data, '250 2.0.0'],
    ] as const) {
      const reply = await client.transact({ ...good, data }, expected);
      if (reply.code === 250) ids.add(emailIdOf(reply));
    }
    assert.equal(ids.size, 3);
    const { rows } = await relay.db.query('select id from emails where id = any($1::uuid[])', [[...ids]]);
    assert.equal(rows.length, 3);
  });

  it('each with its own recipients', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    for (const to of [['1@example.com', '2@example.com'], ['3@example.com']]) {
      const reply = await client.transact({ ...envelope, to, data: messageFrom('a@acme.test') }, '250 2.0.0');
      const { rows } = await relay.db.query('select bcc from emails where id = $1', [emailIdOf(reply)]);
      assert.deepEqual(rows, [{ bcc: to }]);
    }
  });
});

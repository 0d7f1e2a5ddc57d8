import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { after, describe, it, type TestContext } from 'node:test';
import { startRelay } from '../support/relay.ts';
import { base64, emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const relay = await startRelay({ after }, { queue: false });

function transaction(subject: string, from = 'a@acme.test'): string {
  const message = messageFrom(from, { subject });
  return `MAIL FROM:<a@acme.test>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n${message}\r\n.\r\n`;
}

async function subjectsOf(ids: readonly string[]): Promise<string[]> {
  const sql = 'select subject from emails where id = any($1::uuid[]) order by array_position($1::uuid[], id)';
  return (await relay.db.query<{ subject: string }>(sql, [ids])).rows.map(({ subject }) => subject);
}

/** The replies to one transaction. @returns the email id, or null for a message that was refused */
async function readReplies(client: SmtpClient, last: string): Promise<string | null> {
  await client.expect('250 2.1.0');
  await client.expect('250 2.1.5');
  await client.expect('354 ');
  const reply = await client.expect(last);
  return reply.code === 250 ? emailIdOf(reply) : null;
}

/** Counts what is written on the relay's side of connections from now on: each is a packet, or a record of TLS. */
function countWrites(t: TestContext): () => number {
  let count = 0;
  const prototype = Socket.prototype as unknown as Record<string, (...args: unknown[]) => void>;
  for (const name of ['_write', '_writev']) {
    const write = prototype[name];
    t.mock.method(prototype, name, function (this: Socket, ...args: unknown[]) {
      if (this.localPort === relay.port) count += 1;
      write?.apply(this, args);
    });
  }
  return () => count;
}

describe('PIPELINING', () => {
  it('a whole session in one packet: log-in, messages, QUIT', async t => {
    const client = await SmtpClient.secured(t, relay);
    const login = `AUTH PLAIN ${base64(`\0x\0${relay.owner.apiKey}`)}\r\n`;
    await client.send(`${login}${transaction('one')}${transaction('two')}RSET\r\n${transaction('three')}QUIT\r\n`);
    await client.expect('235 ');
    const ids = [await readReplies(client, '250 2.0.0'), await readReplies(client, '250 2.0.0')];
    await client.expect('250 2.0.0');
    ids.push(await readReplies(client, '250 2.0.0'));
    await client.expect('221 ');
    await client.closed;
    assert.deepEqual(await subjectsOf(ids as string[]), ['one', 'two', 'three']);
  });

  it('what came in one packet is answered in one', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const writes = countWrites(t);
    const envelope = 'MAIL FROM:<a@acme.test>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n';
    await client.send(envelope);
    await client.expect('250 2.1.0');
    await client.expect('250 2.1.5');
    await client.expect('354 ');
    assert.equal(writes(), 1);
    // A client that knows nothing else sends what follows a message with it.
    await client.send(`${messageFrom('a@acme.test', {})}\r\n.\r\n${envelope}`);
    await client.expect('250 2.0.0');
    await client.expect('250 2.1.0');
    await client.expect('250 2.1.5');
    await client.expect('354 ');
    assert.equal(writes(), 2);
  });

  it('goes on behind a message that is refused', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.send(transaction('one'), transaction('two', 'a@other.test') + transaction('three'));
    const one = await readReplies(client, '250 2.0.0');
    await readReplies(client, '550 5.7.1');
    const three = await readReplies(client, '250 2.0.0');
    assert.deepEqual(await subjectsOf([one, three] as string[]), ['one', 'three']);
  });

  it('works wherever the packets are cut', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const both = transaction('one') + transaction('two');
    for (let cut = 1; cut < both.length; cut += 7) {
      await client.send(both.slice(0, cut), both.slice(cut));
      const ids = [await readReplies(client, '250 2.0.0'), await readReplies(client, '250 2.0.0')];
      assert.deepEqual(await subjectsOf(ids as string[]), ['one', 'two'], `cut at ${cut}`);
    }
  });

  it('answers in order, with DATA refused and its text never taken for commands unless it was sent as such', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.send('MAIL FROM:<a@acme.test>\r\nRCPT TO:<broken>\r\nDATA\r\nNOOP\r\nRSET\r\n');
    for (const expected of ['250 2.1.0', '501 5.1.3', '503 5.5.1', '250 2.0.0 OK', '250 2.0.0 Flushed']) {
      await client.expect(expected);
    }
  });

  it('stops at QUIT', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.send(`QUIT\r\n${transaction('never')}`);
    await client.expect('221 ');
    await client.closed;
    assert.equal(client.unread, '');
    const { rows } = await relay.db.query("select 1 from emails where subject = 'never'");
    assert.deepEqual(rows, []);
  });

  it('does not buffer replies without end for a client that reads none', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    client.socket.pause();
    const chunk = 'NOOP\r\n'.repeat(20_000);
    // The relay stops reading when its replies do not go out; so at some point nothing more is taken.
    let sent = 0;
    for (; sent < 500; sent += 1) {
      if (!client.socket.write(chunk)) {
        const drained = new Promise(resolve => client.socket.once('drain', resolve));
        const full = await Promise.race([drained, new Promise(resolve => setTimeout(resolve, 300, 'full').unref())]);
        if (full === 'full') break;
      }
    }
    assert.ok(sent < 500, 'the relay took 60 MB of commands whose replies nobody read');
  });
});

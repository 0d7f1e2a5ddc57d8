import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { eventually } from '../support/eventually.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';

const MIB = 1024 * 1024;
const LIMIT = MIB;

const relay = await startRelay({ after }, { queue: false, settings: { maxMessageSizeBytes: LIMIT } });
const envelope = { from: 'a@acme.test', to: ['b@example.com'] };
const LINE = `${'x'.repeat(76)}\r\n`;

/** A message of exactly so many bytes, the CRLF before the end of data included. */
function sized(bytes: number): Buffer {
  const start = `${messageFrom('a@acme.test', { body: '' })}`;
  const lines = LINE.repeat(Math.ceil(bytes / LINE.length));
  return Buffer.from(start + lines.slice(0, bytes - start.length - 2));
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of buffers that something still holds. */
function retainedBytes(): number {
  // Buffers are freed beside the program; the second collection waits for the first one's.
  collectGarbage();
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

async function openData(client: SmtpClient, parameters = ''): Promise<void> {
  await client.command(`MAIL FROM:<a@acme.test>${parameters}`, '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

describe('known defect: the size limit is checked only against SIZE=: counted while the data arrives', () => {
  it('takes a message at the limit', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await client.transact({ ...envelope, data: sized(LIMIT) }, '250 2.0.0');
  });

  it('refuses one byte more, with and without SIZE=, and the session goes on', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    for (const parameters of ['', ' SIZE=100']) {
      await openData(client, parameters);
      await client.send(sized(LIMIT + 1), '\r\n.\r\n');
      await client.expect('552 5.3.4');
    }
    await client.transact({ ...envelope, data: sized(1000) }, '250 2.0.0');
  });

  it('does not count the dots of transparency', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    const start = messageFrom('a@acme.test', { body: '' });
    const lines = Math.floor((LIMIT - start.length) / 3);
    await client.transact({ ...envelope, data: `${start}${'..\r\n'.repeat(lines - 1)}..` }, '250 2.0.0');
  });

  it('keeps memory where it is while a hundred times the limit arrives', async t => {
    const client = await SmtpClient.loggedIn(t, relay);
    await openData(client);
    const chunk = Buffer.from(LINE.repeat(Math.ceil(MIB / LINE.length)));
    await client.send(messageFrom('a@acme.test'), '\r\n', chunk, chunk);
    const before = retainedBytes();
    for (let sent = 0; sent < 100; sent += 1) await client.send(chunk);
    const grown = retainedBytes() - before;
    assert.ok(grown < 5 * MIB, `memory grew by ${Math.round(grown / MIB)} MiB`);
    await client.send('.\r\n');
    await client.expect('552 5.3.4');
  });
});

describe('bytes in flight', () => {
  const room = {
    queue: false,
    settings: { 'limits.bytesInFlight': 2 * MIB, shutdownTimeout: 500 },
  } as const;

  /** A client that has sent so much of a message that another large one has no room. */
  async function occupy(t: Parameters<typeof SmtpClient.connect>[0], other: TestRelay): Promise<SmtpClient> {
    const client = await SmtpClient.loggedIn(t, other);
    await openData(client);
    await client.send(sized(1.5 * MIB), '\r\n');
    // Sent is not received as yet.
    await eventually(async () => {
      const asker = await SmtpClient.loggedIn(t, other);
      await asker.command(`MAIL FROM:<a@acme.test> SIZE=${MIB}`, '250 ');
      await asker.command('RCPT TO:<b@example.com>', '250 ');
      asker.socket.write('DATA\r\n');
      const { code } = await asker.reply();
      asker.destroy();
      return code === 452;
    });
    return client;
  }

  it('past the limit: 452 at the end, and room again when others are done', async t => {
    const other = await startRelay(t, room);
    const first = await occupy(t, other);
    const second = await SmtpClient.loggedIn(t, other);
    const large = { ...envelope, data: sized(MIB) };
    await second.transact(large, '452 4.3.1');
    await second.transact({ ...envelope, data: sized(1000) }, '250 2.0.0');
    await first.send('.\r\n');
    await first.expect('250 2.0.0');
    await second.transact(large, '250 2.0.0');
  });

  it('are known before 354 where SIZE= tells', async t => {
    const other = await startRelay(t, room);
    await occupy(t, other);
    const second = await SmtpClient.loggedIn(t, other);
    await second.command(`MAIL FROM:<a@acme.test> SIZE=${MIB}`, '250 ');
    await second.command('RCPT TO:<b@example.com>', '250 ');
    await second.command('DATA', '452 4.3.1');
    // The transaction is still there: a client may ask again.
    await second.command('DATA', '452 4.3.1');
    await second.command('RSET', '250 ');
    await openData(second, ' SIZE=1000');
  });

  it('are given back by a client that goes away, and by a message that is refused', async t => {
    const other = await startRelay(t, room);
    const second = await SmtpClient.loggedIn(t, other);
    for (let round = 0; round < 3; round += 1) {
      const gone = await occupy(t, other);
      gone.end();
      await gone.closed;
      await second.transact({ ...envelope, data: `Subject: no sender\r\n\r\n${'x\r\n'.repeat(MIB / 3)}` }, '550 5.7.1');
      await second.transact({ ...envelope, data: sized(1.5 * MIB) }, '250 2.0.0');
    }
  });
});

it('the transport has limits of its own in the standalone pipeline: 552 before any 250', async t => {
  const other = await startRelay(t, { queue: false, settings: { pipeline: 'standalone' } });
  const client = await SmtpClient.loggedIn(t, other);
  await client.transact({ ...envelope, data: sized(40 * MIB + 1) }, '552 5.3.4');
});

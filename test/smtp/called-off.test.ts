import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../../dev/ports.ts';
import { startTcpProxy } from '../faults/support/tcp-proxy.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { scrape } from '../support/metrics.ts';
import { seedOwner } from '../support/owner.ts';
import { withClient } from '../support/postgres-server.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';

const FROM = 'a@acme.test';
const WAITING = `
  select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;

const relay = await startRelay({ after }, { queue: false, settings: { httpPort: await freePort() } });
const plain = await startRelay({ after }, { queue: false, tls: false });

/** Locks `emails`, as an ALTER TABLE or a VACUUM FULL of somebody does, until called. */
async function lock(t: TestContext, { databaseUrl }: TestRelay): Promise<() => Promise<void>> {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => {});
  await client.connect();
  t.after(() => client.end());
  await client.query('begin; lock table emails in access exclusive mode');
  return async () => void (await client.query('rollback'));
}

/** Resolves when that many statements of the relay wait for the lock. */
async function held({ db }: TestRelay, statements: number): Promise<void> {
  await eventually(async () => (await db.query<{ n: number }>(WAITING)).rows[0]?.n === statements);
}

/** Resolves when the relay has so many messages in full, and has answered none of them. */
async function received(to: TestRelay, messages: number): Promise<void> {
  const bytes = messages * messageFrom(FROM, { subject: '' }).length;
  await eventually(async () => ((await scrape(to)).get('smtp_relay_bytes_in_flight') ?? 0) >= bytes);
}

async function idsOf({ db }: TestRelay, subject: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>('select id from emails where subject = $1', [subject]);
  return rows.map(({ id }) => id);
}

async function openData(client: SmtpClient): Promise<void> {
  await client.command(`MAIL FROM:<${FROM}>`, '250 ');
  await client.command('RCPT TO:<b@example.com>', '250 ');
  await client.command('DATA', '354 ');
}

/** Logs in and sends a message, without waiting for its reply. @param more what is sent behind it at once */
async function send(t: TestContext, to: TestRelay, subject: string, more = ''): Promise<SmtpClient> {
  const client = await SmtpClient.loggedIn(t, to);
  await openData(client);
  client.socket.write(`${messageFrom(FROM, { subject })}\r\n.\r\n${more}`);
  return client;
}

function abandoned({ logs }: TestRelay): number {
  return logs.filter(({ msg }) => /^message abandoned/.test(msg)).length;
}

describe('a client that goes before the reply to its message', () => {
  for (const [name, to] of [
    ['behind STARTTLS', relay],
    ['in clear', plain],
  ] as const) {
    for (const [how, go] of [
      ['ends its connection', (client: SmtpClient) => client.end()],
      ['drops its connection', (client: SmtpClient) => client.destroy()],
    ] as const) {
      it(`has it not stored where it ${how}, ${name}`, async t => {
        const before = abandoned(to);
        const unlock = await lock(t, to);
        const subject = `${how} ${name}`;
        const client = await send(t, to, subject);
        await held(to, 1);
        go(client);
        await eventually(() => abandoned(to) === before + 1);
        await held(to, 0);
        await unlock();
        assert.deepEqual(await idsOf(to, subject), []);
      });
    }
  }

  it('resets its connection, large as the message may be', async t => {
    const before = abandoned(plain);
    const unlock = await lock(t, plain);
    const client = await SmtpClient.loggedIn(t, plain);
    await openData(client);
    const body = 'a line of a large message\r\n'.repeat(20_000);
    client.socket.write(`${messageFrom(FROM, { subject: 'large', body })}\r\n.\r\n`);
    await held(plain, 1);
    client.socket.resetAndDestroy();
    await eventually(() => abandoned(plain) === before + 1);
    await unlock();
    assert.deepEqual(await idsOf(plain, 'large'), []);
  });

  for (const go of ['end', 'destroy', 'reset'] as const) {
    it(`has sent much behind it, and is seen to go all the same: ${go}`, async t => {
      const before = abandoned(relay);
      const unlock = await lock(t, relay);
      const next = Array.from({ length: 1_000 }, (_, index) => `RCPT TO:<recipient-${index}@example.com>\r\n`);
      const client = await send(t, relay, `much behind ${go}`, `MAIL FROM:<${FROM}>\r\n${next.join('')}`);
      await held(relay, 1);
      client[go]();
      await eventually(() => abandoned(relay) === before + 1);
      await unlock();
      assert.deepEqual(await idsOf(relay, `much behind ${go}`), []);
    });
  }

  it('and tries again, with others, until the database goes on: each message is stored once', async t => {
    const unlock = await lock(t, relay);
    const subjects = Array.from({ length: 8 }, (_, index) => `insistent ${index}`);
    const sendAll = (names: readonly string[]) => Promise.all(names.map(name => send(t, relay, name)));
    const stay = new Map<string, SmtpClient>();
    for (const round of [1, 2]) {
      const before = abandoned(relay);
      const [patient, going] = await Promise.all([sendAll([`patient ${round}`]), sendAll(subjects)]);
      for (const client of patient) stay.set(`patient ${round}`, client);
      await received(relay, stay.size + going.length);
      for (const client of going) client.destroy();
      await eventually(() => abandoned(relay) === before + going.length);
    }
    for (const [index, client] of (await sendAll(subjects)).entries()) stay.set(`insistent ${index}`, client);
    await unlock();
    for (const [subject, client] of stay) {
      const id = emailIdOf(await client.expect('250 2.0.0'));
      assert.deepEqual(await idsOf(relay, subject), [id]);
    }
    assert.equal((await scrape(relay)).get('smtp_relay_messages_unheard_total'), 0);
  });
});

describe('a client that has said QUIT behind its message', () => {
  for (const [name, to] of [
    ['behind STARTTLS', relay],
    ['in clear', plain],
  ] as const) {
    it(`may close its side: the message is stored, and it is told so, ${name}`, async t => {
      const unlock = await lock(t, to);
      const client = await send(t, to, `quit ${name}`, 'QUIT\r\n');
      client.end();
      await held(to, 1);
      await sleep(100);
      await unlock();
      const id = emailIdOf(await client.expect('250 2.0.0'));
      await client.expect('221 ');
      await client.closed;
      assert.deepEqual(await idsOf(to, `quit ${name}`), [id]);
    });
  }

  it('has sent it in a packet of its own', async t => {
    const unlock = await lock(t, plain);
    const client = await send(t, plain, 'quit later');
    await held(plain, 1);
    await client.send('QUIT\r\n');
    client.end();
    await sleep(100);
    await unlock();
    const id = emailIdOf(await client.expect('250 2.0.0'));
    await client.expect('221 ');
    assert.deepEqual(await idsOf(plain, 'quit later'), [id]);
  });

  it('has sent it byte by byte', async t => {
    const unlock = await lock(t, plain);
    const client = await send(t, plain, 'quit in bytes');
    await held(plain, 1);
    await client.send(...'QUIT\r\n');
    client.end();
    await sleep(100);
    await unlock();
    await client.expect('250 2.0.0');
    await client.expect('221 ');
  });

  it('and resets its connection has gone nevertheless', async t => {
    const before = abandoned(plain);
    const unlock = await lock(t, plain);
    const client = await send(t, plain, 'quit and reset', 'QUIT\r\n');
    await held(plain, 1);
    client.socket.resetAndDestroy();
    await eventually(() => abandoned(plain) === before + 1);
    await unlock();
    assert.deepEqual(await idsOf(plain, 'quit and reset'), []);
  });

  it('is not kept waiting by what it sends beside it', async t => {
    const client = await send(t, plain, 'quit after all', `MAIL FROM:<${FROM}>\r\nQUIT\r\n`);
    client.end();
    await client.expect('250 2.0.0');
    await client.expect('250 ');
    await client.expect('221 ');
    await client.closed;
  });
});

describe('messages under way when the relay stops', () => {
  it('that the database holds up are not stored where they got 421', async t => {
    const stopping = await startRelay(t, { queue: false, settings: { shutdownTimeout: 4_000 } });
    const unlock = await lock(t, stopping);
    const first = await send(t, stopping, 'cut');
    await held(stopping, 1);
    const others = await Promise.all([
      ...Array.from({ length: 3 }, () => send(t, stopping, 'cut')),
      (async () => {
        const client = await SmtpClient.loggedIn(t, stopping);
        await openData(client);
        client.socket.write(`X-OpenSend-Idempotency-Key: k\r\n${messageFrom(FROM, { subject: 'cut' })}\r\n.\r\n`);
        return client;
      })(),
    ]);
    await held(stopping, 3);
    const stopped = stopping.stop();
    // The lock is still there.
    for (const client of [first, ...others]) await client.expect('421 4.3.2');
    await held(stopping, 0);
    await unlock();
    await stopped;
    assert.deepEqual(await idsOf(stopping, 'cut'), []);
  });

  it('are answered by nothing where the database does not say what became of them', async t => {
    const databaseUrl = await createDatabase(t, { pipeline: 'opensend' });
    const { hostname: host, port } = new URL(databaseUrl);
    const proxy = await startTcpProxy(t, { host, port: Number(port) });
    const owner = await withClient(databaseUrl, client => seedOwner(client));
    const stopping = await startRelay(t, {
      queue: false,
      shareWith: { databaseUrl, owner },
      settings: { databaseUrl: proxy.through(databaseUrl), shutdownTimeout: 2_000 },
    });
    const unlock = await lock(t, stopping);
    const client = await send(t, stopping, 'unknown');
    await held(stopping, 1);
    // Requests to cancel get no further.
    const silent = net.createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    t.after(() => void silent.close());
    proxy.switchTo({ host, port: (silent.address() as net.AddressInfo).port });
    const stopped = stopping.stop();
    await client.closed;
    assert.equal(client.unread, '');
    assert.ok(stopping.logs.some(({ msg }) => /^cut off without an answer/.test(msg)));
    proxy.switchTo({ host, port: Number(port) });
    await unlock();
    await stopped;
  });
});

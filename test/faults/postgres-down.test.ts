import assert from 'node:assert/strict';
import { rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { prepareDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { withClient } from '../support/postgres-server.ts';
import { type RelayOptions, startRelay, type TestRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { createOwnPostgres } from './support/own-postgres.ts';

const FROM = 'a@acme.test';
const message = { from: FROM, to: ['b@example.com'], data: messageFrom(FROM) };
const FAULT = '451 4.3.0 Temporary fault on our side: try again later';

const postgres = await createOwnPostgres({ after }, { settings: { max_connections: '12' } });
const { server, databaseUrl, owner } = postgres;

interface TestContext {
  after(fn: () => Promise<void> | void): void;
}

function start(t: TestContext, settings: RelayOptions['settings'] = {}): Promise<TestRelay> {
  return startRelay(t, { shareWith: postgres, settings: { 'database.poolSize': 2, ...settings } });
}

/** Logs in and sends until that succeeds, as a client does that tries again. @returns the id behind the 250 */
async function sendOnceWell(t: TestContext, relay: TestRelay): Promise<string> {
  return eventually(async () => {
    const client = await SmtpClient.loggedIn(t, relay);
    return emailIdOf(await client.transact(message, '250 2.0.0'));
  });
}

async function isStored(id: string): Promise<boolean> {
  const found = await withClient(databaseUrl, client => client.query('select 1 from emails where id = $1', [id]));
  return found.rows.length === 1;
}

/** Looks, 50 ms apart, at which the server is full before it is taken for full: connections that were closed go a moment later. */
const LOOKS = 10;

/** Takes every connection that the server has. @returns gives them back, which the end of the test does too */
async function takeAllConnections(t: TestContext): Promise<() => Promise<void>> {
  const clients: pg.Client[] = [];
  const terminate = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'smtp-relay'";
  for (let full = 0; full < LOOKS; ) {
    const client = new pg.Client({ connectionString: databaseUrl });
    client.on('error', () => {});
    try {
      await client.connect();
      clients.push(client);
    } catch {
      const { rows } = (await clients[0]?.query(terminate)) ?? { rows: [] };
      full = rows.length === 0 ? full + 1 : 0;
      await sleep(50);
    }
  }
  const giveBack = async () => void (await Promise.all(clients.splice(0).map(client => client.end())));
  t.after(giveBack);
  return giveBack;
}

describe('Postgres down', () => {
  it('at the start: the relay listens, log-ins are told to come again, and it works once Postgres is there', async t => {
    await server.stop();
    const relay = await start(t);
    const client = await SmtpClient.secured(t, relay);
    await client.logIn(owner.apiKey, '454 4.7.0 Temporary fault on our side');
    await server.start();
    await eventually(() => client.logIn(owner.apiKey).then(() => true));
    assert.ok(await isStored(emailIdOf(await client.transact(message, '250 2.0.0'))));
  });

  it('at the start and empty: it is migrated as soon as it is there', async t => {
    const url = await server.createDatabase('empty');
    await server.stop();
    const relay = await startRelay(t, {
      shareWith: { databaseUrl: url, owner },
      settings: { pipeline: 'standalone' },
    });
    await server.start();
    await eventually(async () => (await relay.db.query('select 1 from smtp_relay_migrations')).rows.length > 0);
    const client = await SmtpClient.secured(t, relay);
    await eventually(() => client.logIn(owner.apiKey, '535 5.7.8').then(() => true));
  });

  it('while sessions are idle: lost idle connections harm nobody, and each command says what is the matter', async t => {
    const relay = await start(t);
    const client = await SmtpClient.loggedIn(t, relay);
    const stranger = await SmtpClient.secured(t, relay);
    await server.stop();
    await stranger.logIn('os_live_unknown', '454 4.7.0 ');
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('DATA', '354 ');
    await client.command(`${message.data}\r\n.`, FAULT);
    await server.start();
    await eventually(() =>
      client.transact(message, '250 2.0.0').catch(() => client.command('RSET', '250 ').then(() => null)),
    );
  });
});

describe('a table that is missing', () => {
  it('is a fault of ours: 451 without a word about it, and 250 when it is there again', async t => {
    const relay = await start(t);
    const client = await SmtpClient.loggedIn(t, relay);
    await relay.db.query('alter table emails rename to gone');
    await client.transact(message, FAULT);
    await relay.db.query('alter table gone rename to emails');
    assert.ok(await isStored(emailIdOf(await client.transact(message, '250 2.0.0'))));
  });
});

describe('connections to Postgres', () => {
  it('all taken by others: temporary replies within the time-out, and work again when one is free', async t => {
    const relay = await start(t, { 'database.connectTimeout': 1_000 });
    const client = await SmtpClient.loggedIn(t, relay);
    const giveBack = await takeAllConnections(t);
    const began = performance.now();
    await (await SmtpClient.secured(t, relay)).logIn('os_live_unknown', '454 4.7.0 ');
    await client.transact(message, FAULT);
    // The default is five seconds for each of the two.
    assert.ok(performance.now() - began < 9_000);
    await giveBack();
    assert.ok(await isStored(await sendOnceWell(t, relay)));
  });

  it('all taken at the start: the relay listens, and works when one is free', async t => {
    const giveBack = await takeAllConnections(t);
    const relay = await start(t, { 'database.connectTimeout': 1_000 });
    await (await SmtpClient.secured(t, relay)).logIn(owner.apiKey, '454 4.7.0 ');
    await giveBack();
    assert.ok(await isStored(await sendOnceWell(t, relay)));
  });

  it('all held up by a lock: 451 within the time-outs for every session, and work again when it is gone', async t => {
    const relay = await start(t, { 'database.connectTimeout': 1_000, 'database.statementTimeout': 2_000 });
    const clients = await Promise.all(Array.from({ length: 12 }, () => SmtpClient.loggedIn(t, relay)));
    await withClient(databaseUrl, async blocker => {
      await blocker.query('begin; lock table emails in access exclusive mode');
      const began = performance.now();
      await Promise.all(clients.map(client => client.transact(message, FAULT)));
      // One after the other on two connections it would take six times as long as a statement may.
      assert.ok(performance.now() - began < 10_000);
      await blocker.query('commit');
    });
    const replies = await Promise.all(clients.map(client => client.transact(message, '250 2.0.0')));
    for (const reply of replies) assert.ok(await isStored(emailIdOf(reply)));
    assert.equal(new Set(replies.map(emailIdOf)).size, clients.length);
  });
});

describe('the disk of Postgres', () => {
  it('is full: 452, and 250 when there is room again', { skip: needs('devFull') }, async t => {
    const url = await server.createDatabase('full');
    await prepareDatabase(url, 'opensend');
    const relay = await startRelay(t, { shareWith: { databaseUrl: url, owner }, queue: false });
    await relay.db.query(
      `insert into api_keys (name, token_hash, user_id) values ('test', encode(sha256($1::bytea), 'hex'), 'acme')`,
      [owner.apiKey],
    );
    const file = await fileOf(relay.db, 'emails');
    const client = await SmtpClient.loggedIn(t, relay);

    // The kernel answers each write to this file as it does on a full disk; Postgres makes SQLSTATE 53100 of it.
    await whileStopped(async () => {
      await rename(file, `${file}.kept`);
      await symlink('/dev/full', file);
    });
    await eventually(() => client.transact(message, '452 4.3.1 No room to store the message just now'));
    await client.transact(message, '452 4.3.1 ');
    await whileStopped(() => rename(`${file}.kept`, file));
    const reply = await eventually(() => client.transact(message, '250 2.0.0'));
    assert.equal((await relay.db.query('select id from emails')).rows[0]?.id, emailIdOf(reply));
  });

  /** A running server keeps its files open. */
  async function whileStopped(change: () => Promise<void>): Promise<void> {
    await server.stop();
    await change();
    await server.start();
  }
});

async function fileOf(db: pg.Pool, table: string): Promise<string> {
  const { rows } = await db.query<{ directory: string; path: string }>(
    `select current_setting('data_directory') as directory, pg_relation_filepath($1) as path`,
    [table],
  );
  return join(rows[0]?.directory ?? '', rows[0]?.path ?? '');
}

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { blockKey } from '../../src/store/keys/blocked-keys.ts';
import { createOwnPostgres } from '../faults/support/own-postgres.ts';
import { eventually } from '../support/eventually.ts';
import { seedOwner } from '../support/owner.ts';
import { startRelay, type TestRelay } from '../support/relay.ts';
import { messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { letPass } from '../support/time.ts';

const base = { queue: false } as const;
const message = { from: 'a@acme.test', to: ['b@example.com'], data: messageFrom('a@acme.test') };

async function lastUsed(relay: TestRelay): Promise<Date | null> {
  const { rows } = await relay.db.query('select last_used_at from api_keys where id = $1', [relay.owner.keyId]);
  return rows[0].last_used_at;
}

/** Counts the look-ups of keys that reach the database, by what it counts itself. */
async function keyScans(relay: TestRelay): Promise<number> {
  await relay.db.query('select pg_stat_force_next_flush()');
  const sql = "select (seq_scan + idx_scan)::int as n from pg_stat_user_tables where relname = 'api_keys'";
  return (await relay.db.query(sql)).rows[0].n;
}

describe('API keys', () => {
  it('are looked up by their SHA-256, white space around them trimmed', async t => {
    const relay = await startRelay(t, base);
    const key = 'os_0123456789abcdef0123456789abcdef';
    await relay.db.query('insert into api_keys (name, token_hash, user_id) values ($1, $2, $3)', [
      'by hand',
      createHash('sha256').update(key).digest('hex'),
      relay.owner.userId,
    ]);
    for (const password of [key, ` ${key}\r\n`]) await (await SmtpClient.secured(t, relay)).logIn(password);
  });

  it('without an owner are not valid', async t => {
    const relay = await startRelay(t, base);
    const { apiKey, keyId } = await seedOwner(relay.db);
    await relay.db.query('update api_keys set user_id = null where id = $1', [keyId]);
    await (await SmtpClient.secured(t, relay)).logIn(apiKey, '535 5.7.8');
  });

  it('with either permission may send', async t => {
    const relay = await startRelay(t, base);
    for (const permission of ['full_access', 'sending_access']) {
      await relay.db.query('update api_keys set permission = $1', [permission]);
      const client = await SmtpClient.loggedIn(t, relay);
      await client.transact(message, '250 2.0.0');
    }
  });

  it('that are new work within a second, also where they were tried before', async t => {
    const relay = await startRelay(t, base);
    const client = await SmtpClient.secured(t, relay);
    const apiKey = 'os_live_made_later';
    await client.logIn(apiKey, '535 5.7.8');
    await seedOwner(relay.db, { apiKey });
    // Those that are known are asked about again only after nine seconds.
    letPass(1_000);
    await (await SmtpClient.secured(t, relay)).logIn(apiKey);
  });

  it('that are revoked or blocked stop within 10 s, on open connections too, before MAIL and in mid-transaction', async t => {
    const relay = await startRelay(t, base);
    const [idle, busy] = [await SmtpClient.loggedIn(t, relay), await SmtpClient.loggedIn(t, relay)];
    const other = { ...relay, owner: await seedOwner(relay.db) };
    const blocked = await SmtpClient.loggedIn(t, other);
    await blockKey(relay.db, other.owner.keyId);
    await idle.transact(message, '250 2.0.0');
    await busy.command('MAIL FROM:<a@acme.test>', '250 ');
    await busy.command('RCPT TO:<b@example.com>', '250 ');
    await busy.command('DATA', '354 ');
    const stalled = await SmtpClient.loggedIn(t, relay);
    await stalled.command('MAIL FROM:<a@acme.test>', '250 ');
    await stalled.command('RCPT TO:<b@example.com>', '250 ');
    await stalled.command('DATA', '354 ');
    const lock = new pg.Client({ connectionString: relay.databaseUrl });
    await lock.connect();
    await lock.query('begin; lock table emails in access exclusive mode');
    stalled.socket.write(`${message.data}\r\n.\r\n`);
    await relay.db.query('delete from api_keys where id = $1', [relay.owner.keyId]);
    // Its statement waits for a lock that is still held.
    await stalled.expect('530 5.7.0 ');
    await lock.end();
    await idle.command('MAIL FROM:<a@acme.test>', '530 5.7.0');
    await busy.command(`${message.data}\r\n.`, '530 5.7.0');
    await (await SmtpClient.secured(t, relay)).logIn(relay.owner.apiKey, '535 5.7.8');
    await blocked.command('MAIL FROM:<a@acme.test>', '530 5.7.0');
    await (await SmtpClient.secured(t, other)).logIn(other.owner.apiKey, '535 5.7.8');
    const { rows } = await relay.db.query('select 1 from emails');
    assert.equal(rows.length, 1);
  });

  it('cost one query for many log-ins and messages at once', async t => {
    const relay = await startRelay(t, base);
    const clients = await Promise.all(Array.from({ length: 20 }, () => SmtpClient.secured(t, relay)));
    const before = await keyScans(relay);
    await Promise.all(
      clients.map(async client => {
        await client.logIn(relay.owner.apiKey);
        await client.transact(message, '250 2.0.0');
      }),
    );
    // The relay's own connections report what they did within a second of being idle.
    await sleep(1_200);
    const scans = await eventually(async () => (await keyScans(relay)) - before);
    // One for the look-up, one for last_used_at.
    assert.ok(scans >= 1 && scans <= 4, `${scans} look-ups`);
  });
});

describe('last_used_at', () => {
  it('is written after a use, at most once a minute', async t => {
    const relay = await startRelay(t, base);
    assert.equal(await lastUsed(relay), null);
    const client = await SmtpClient.loggedIn(t, relay);
    const first = await eventually(() => lastUsed(relay));
    await client.transact(message, '250 2.0.0');
    await SmtpClient.loggedIn(t, relay);
    await relay.stop();
    assert.deepEqual(await lastUsed(relay), first);
  });

  it('is not written for a log-in that fails', async t => {
    const relay = await startRelay(t, base);
    await (await SmtpClient.secured(t, relay)).logIn(`${relay.owner.apiKey}x`, '535 5.7.8');
    await relay.stop();
    assert.equal(await lastUsed(relay), null);
  });
});

describe('known defect: the database hiccups and the client gets a permanent error: 4xx, and the session lives', () => {
  it('AUTH is answered 454 4.7.0, MAIL and the end of DATA 451 4.3.0', async t => {
    const { server, owner, databaseUrl } = await createOwnPostgres(t);
    const relay = await startRelay(t, { ...base, shareWith: { databaseUrl, owner } });
    const client = await SmtpClient.secured(t, relay);
    await server.stop();
    await client.logIn(owner.apiKey, '454 4.7.0');
    await client.command('MAIL FROM:<a@acme.test>', '530 5.7.0');
    await server.start();
    await eventually(() => client.logIn(owner.apiKey).then(() => true));
    await client.command('MAIL FROM:<a@acme.test>', '250 ');
    await client.command('RCPT TO:<b@example.com>', '250 ');
    await client.command('DATA', '354 ');
    await server.stop();
    await client.command(`${message.data}\r\n.`, '451 4.3.0');
    await server.start();
    await eventually(() => client.transact(message, '250 2.0.0'));
  });
});

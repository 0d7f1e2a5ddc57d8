import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { createPool, inTransaction } from '../../src/postgres/pool.ts';
import { listEmails } from '../../src/store/emails/list.ts';
import { findEmail } from '../../src/store/emails/show.ts';
import { createKey, findByHash, hashKey, listKeys, revokeKey } from '../../src/store/keys/api-keys.ts';
import { touchLastUsed } from '../../src/store/keys/usage.ts';
import { createOwnershipCache, isOwned } from '../../src/store/owners/domain-lookup.ts';
import { addDomain, listDomains, removeDomain } from '../../src/store/owners/domains.ts';
import {
  addSuppression,
  findSuppressed,
  listSuppressions,
  removeSuppression,
} from '../../src/store/owners/suppressions.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

async function openDatabase(t: TestContext) {
  const options = {
    databaseUrl: await createDatabase(t),
    poolSize: 2,
    connectTimeout: 60_000,
    statementTimeout: 60_000,
  };
  const pool = createPool(options, pino({ level: 'silent' }));
  t.after(() => pool.end());
  return pool;
}

describe('API keys', () => {
  it('are stored as the lower-case hex SHA-256 of the trimmed key', async t => {
    const db = await openDatabase(t);
    const { key, id, preview } = await createKey(db, { owner: 'acme', name: 'shop', domain: 'acme.test' });
    assert.match(key, /^os_live_[0-9a-f]{32}$/);
    assert.equal(preview, `${key.slice(0, 12)}…`);
    const { rows } = await db.query('select token_hash, row_to_json(k)::text as row from api_keys k');
    assert.equal(rows[0].token_hash, createHash('sha256').update(key).digest('hex'));
    assert.ok(!rows[0].row.includes(key));
    assert.deepEqual(await findByHash(db, hashKey(` ${key}\r\n`)), { id, userId: 'acme', domain: 'acme.test' });
    assert.equal(await findByHash(db, hashKey(key.toUpperCase())), null);
  });

  it('are invalid without an owner', async t => {
    const db = await openDatabase(t);
    for (const [hash, owner] of [
      ['a', null],
      ['b', ''],
      ['c', ' '],
    ]) {
      await db.query("insert into api_keys (name, token_hash, user_id) values ('x', $1, $2)", [hash, owner]);
      assert.equal(await findByHash(db, String(hash)), null);
    }
    await assert.rejects(createKey(db, { owner: ' ', name: 'x' }), { code: 'invalid' });
  });

  it('may be taken over from elsewhere, once', async t => {
    const db = await openDatabase(t);
    const wanted = { owner: 'acme', name: 'old', key: ' os_00112233445566778899aabbccddeeff ' };
    assert.equal((await createKey(db, wanted)).key, 'os_00112233445566778899aabbccddeeff');
    await assert.rejects(createKey(db, wanted), { code: 'conflict' });
  });

  it('are revoked by id, name, preview or the key itself, where that names one', async t => {
    const db = await openDatabase(t);
    const create = (name: string) => createKey(db, { owner: 'acme', name });
    const [first, second, third, fourth] = [await create('a'), await create('b'), await create('c'), await create('d')];
    await create('twin');
    await create('twin');
    assert.equal((await revokeKey(db, first.id.toUpperCase())).id, first.id);
    assert.equal((await revokeKey(db, 'b')).id, second.id);
    assert.equal((await revokeKey(db, String(third.preview))).id, third.id);
    assert.equal((await revokeKey(db, fourth.key)).id, fourth.id);
    await assert.rejects(revokeKey(db, 'twin'), { code: 'ambiguous' });
    await assert.rejects(revokeKey(db, 'a'), { code: 'not-found' });
    const left = await listKeys(db, 'acme');
    assert.deepEqual(
      left.map(key => key.name),
      ['twin', 'twin'],
    );
    assert.deepEqual(await listKeys(db, 'other'), []);
  });

  it('have their use written at most once a minute', async t => {
    const db = await openDatabase(t);
    const { id } = await createKey(db, { owner: 'acme', name: 'a' });
    const lastUsed = async () => (await db.query('select last_used_at as at from api_keys')).rows[0].at;
    await touchLastUsed(db, [id]);
    const first = await lastUsed();
    assert.ok(Date.now() - first.getTime() < 60_000);
    await touchLastUsed(db, [id]);
    assert.deepEqual(await lastUsed(), first);
    await db.query(`update api_keys set last_used_at = now() - interval '61 seconds'`);
    await touchLastUsed(db, [id]);
    assert.ok((await lastUsed()) >= first);
  });
});

describe('suppressions', () => {
  it('are found for many addresses by one query, whatever their case and spelling', async t => {
    const db = await openDatabase(t);
    await addSuppression(db, { owner: 'acme', email: ' Blocked@Example.COM ', reason: 'manual' });
    await addSuppression(db, { owner: 'acme', email: 'a@bücher.example', reason: 'bounced' });
    await db.query(
      `insert into email_suppressions (user_id, email, reason) values ('acme', 'b@bücher.example', 'manual')`,
    );
    const questions = [
      { userId: 'acme', email: 'BLOCKED@example.com' },
      { userId: 'other', email: 'blocked@example.com' },
      { userId: 'acme', email: 'fine@example.com' },
      { userId: 'acme', email: 'a@xn--bcher-kva.example' },
      { userId: 'acme', email: 'b@xn--bcher-kva.example' },
    ];
    const queries = t.mock.method(db, 'query');
    const suppressed = await findSuppressed(db, questions);
    assert.equal(queries.mock.callCount(), 1);
    assert.deepEqual(
      questions.map(question => suppressed.has(question)),
      [true, false, false, true, true],
    );
    assert.equal((await findSuppressed(db, [])).size, 0);
    assert.equal(queries.mock.callCount(), 1);
  });

  it('are added once, keep their first reason, and are removed in any spelling', async t => {
    const db = await openDatabase(t);
    const wanted = { owner: 'acme', email: 'a@bücher.example' };
    assert.equal((await addSuppression(db, { ...wanted, reason: 'bounced' })).added, true);
    const again = await addSuppression(db, { ...wanted, email: 'A@BÜCHER.example', reason: 'manual' });
    assert.deepEqual([again.added, again.reason], [false, 'bounced']);
    const listed = await listSuppressions(db, 'acme');
    assert.deepEqual(
      listed.map(row => row.email),
      ['a@xn--bcher-kva.example'],
    );
    await removeSuppression(db, 'acme', 'A@xn--bcher-kva.example');
    await assert.rejects(removeSuppression(db, 'acme', wanted.email), { code: 'not-found' });
    await assert.rejects(addSuppression(db, { ...wanted, email: 'nobody', reason: 'manual' }), { code: 'invalid' });
  });
});

describe('domains', () => {
  it('are owned in any spelling', async t => {
    const db = await openDatabase(t);
    assert.equal((await addDomain(db, { name: 'BÜCHER.example.', owner: 'acme', region: 'eu-west-1' })).added, true);
    assert.equal((await addDomain(db, { name: 'bücher.example', owner: 'acme', region: 'eu-west-1' })).added, false);
    await db.query(`insert into domains (name, user_id) values ('Täst.example', 'acme')`);
    for (const spelling of ['xn--bcher-kva.example', 'bücher.EXAMPLE', 'xn--tst-qla.example', 'täst.example']) {
      assert.equal(await isOwned(db, 'acme', spelling), true, spelling);
      assert.equal(await isOwned(db, 'other', spelling), false, spelling);
    }
    assert.equal(await isOwned(db, 'acme', 'sub.xn--bcher-kva.example'), false);
    const listed = await listDomains(db, 'acme');
    assert.deepEqual(listed.map(row => row.name).sort(), ['Täst.example', 'xn--bcher-kva.example'].sort());
  });

  it('are refused where they are not names', async t => {
    const db = await openDatabase(t);
    for (const name of ['', 'a b', 'a@b.example', '[127.0.0.1]', 'a..b', '-']) {
      await assert.rejects(addDomain(db, { name, owner: 'acme', region: 'us-east-1' }), { code: 'invalid' }, name);
    }
  });

  it('are given to one owner only, though several ask at once', async t => {
    const db = await openDatabase(t);
    const [name, region] = ['Bücher.example', 'us-east-1'];
    const first = await db.connect();
    await first.query('begin');
    await addDomain(first, { name, owner: 'acme', region, isExclusive: true });
    const second = inTransaction(db, other =>
      addDomain(other, { name: 'xn--bcher-kva.example', owner: 'umbrella', region, isExclusive: true }),
    );
    const refused = assert.rejects(second, { code: 'conflict' });
    const waiting = "select from pg_locks where locktype = 'advisory' and not granted";
    await eventually(async () => (await first.query(waiting)).rowCount === 1);
    await first.query('commit');
    first.release();
    await refused;
    assert.deepEqual(
      (await listDomains(db)).map(({ owner }) => owner),
      ['acme'],
    );
  });

  it('are removed from the one owner meant', async t => {
    const db = await openDatabase(t);
    for (const owner of ['acme', 'umbrella'])
      await addDomain(db, { name: 'shared.example', owner, region: 'us-east-1' });
    await assert.rejects(removeDomain(db, 'shared.example'), { code: 'ambiguous' });
    assert.equal((await removeDomain(db, 'Shared.example', 'umbrella')).owner, 'umbrella');
    assert.equal((await removeDomain(db, 'shared.example')).owner, 'acme');
    await assert.rejects(removeDomain(db, 'shared.example'), { code: 'not-found' });
  });

  it('have their ownership cached for ten seconds, for each owner and name', async t => {
    const db = await openDatabase(t);
    let time = 1_000;
    const cache = createOwnershipCache(db, () => time);
    await addDomain(db, { name: 'acme.example', owner: 'acme', region: 'us-east-1' });
    assert.equal(await cache.isOwned('acme', 'ACME.example'), true);
    assert.equal(await cache.isOwned('other', 'acme.example'), false);
    await removeDomain(db, 'acme.example');
    assert.equal(await cache.isOwned('acme', 'acme.example'), true);
    time += 10_001;
    assert.equal(await cache.isOwned('acme', 'acme.example'), false);
  });
});

const INSERT_EMAIL = `
  insert into emails ("from", "to", subject, user_id, status, created_at, attachments)
  values ('Acme <a@acme.test>', '["b@example.com"]', $1, $2, $3, now() - $4::interval,
          '[{"filename": "a.txt", "content": "aGVsbG8=", "content_type": "text/plain", "content_id": null}]')
  returning id`;

describe('emails', () => {
  it('are listed newest first and filtered by status, owner, age and number', async t => {
    const db = await openDatabase(t);
    for (const values of [
      ['old', 'acme', 'queued', '2 hours'],
      ['sent', 'acme', 'sent', '1 minute'],
      ['other', 'umbrella', 'queued', '30 seconds'],
      ['new', 'acme', 'queued', '1 second'],
    ]) {
      await db.query(INSERT_EMAIL, values);
    }
    const subjects = async (filter: Partial<Parameters<typeof listEmails>[1]>) =>
      (await listEmails(db, { limit: 10, ...filter })).map(row => row.subject);
    assert.deepEqual(await subjects({}), ['new', 'other', 'sent', 'old']);
    assert.deepEqual(await subjects({ limit: 2 }), ['new', 'other']);
    assert.deepEqual(await subjects({ status: 'queued', owner: 'acme' }), ['new', 'old']);
    assert.deepEqual(await subjects({ since: new Date(Date.now() - 3_600_000), owner: 'acme' }), ['new', 'sent']);
  });

  it('are shown with their outbox entries and what was received, attachments without content', async t => {
    const db = await openDatabase(t);
    const { id } = (await db.query(INSERT_EMAIL, ['hello', 'acme', 'queued', '0'])).rows[0];
    await db.query(
      `insert into smtp_relay_outbox (email_id, correlation_id, traceparent, publish_attempts, last_error)
       values ($1, 'c', 't', 3, 'queue unreachable')`,
      [id],
    );
    await db.query(
      `insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients)
       values ($1, 'raw', '\\xabcd', 3, 'a@acme.test', '["b@example.com"]')`,
      [id],
    );
    const email = await findEmail(db, id.toUpperCase());
    assert.equal(email?.subject, 'hello');
    assert.deepEqual(email.attachments, [
      { filename: 'a.txt', contentType: 'text/plain', contentId: null, encodedSize: 8 },
    ]);
    assert.deepEqual(
      email.outbox.map(entry => [entry.try, entry.publishAttempts, entry.lastError]),
      [[1, 3, 'queue unreachable']],
    );
    assert.deepEqual([email.raw?.sizeBytes, email.raw?.sha256], [3, 'abcd']);
    assert.equal(await findEmail(db, 'not an id'), null);
  });
});

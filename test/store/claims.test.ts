import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type pg from 'pg';
import { pino } from 'pino';
import { newTrace } from '../../src/observability/tracing.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { type Claim, Claims } from '../../src/store/delivery/claims.ts';
import { type Settlement, Settler } from '../../src/store/delivery/settle.ts';
import { findEmail } from '../../src/store/emails/show.ts';
import { readRawMessage, readRawSlice } from '../../src/store/messages/raw.ts';
import { createDatabase } from '../support/database.ts';
import { storeMessage } from '../support/stored.ts';

const logger = pino({ level: 'silent' });
const never = new AbortController().signal;
const LEASE = 60_000;

async function openStore(t: TestContext) {
  const options = {
    databaseUrl: await createDatabase(t),
    poolSize: 8,
    connectTimeout: 60_000,
    statementTimeout: 60_000,
  };
  const db = createPool(options, logger);
  t.after(() => db.end());
  const worker = (name: string, leaseTime = LEASE) => ({
    claims: new Claims(db, { worker: name, leaseTime }),
    settler: new Settler({ pool: db, worker: name, logger }),
  });
  const row = async (id: string) => (await db.query('select * from emails where id = $1', [id])).rows[0];
  const expire = () => db.query("update smtp_relay_claims set until = now() - interval '1 minute'");
  return { db, worker, row, expire };
}

function settlement(claim: Claim, more: Partial<Settlement> = {}): Settlement {
  return { claim, standing: { kind: 'sent' }, attempts: [], events: [], trace: newTrace(), notice: null, ...more };
}

function attempt(outcome: 'sent' | 'transient' | 'permanent', recipients: readonly string[]) {
  const startedAt = new Date();
  return { transport: 'ses', recipients, outcome, code: null, message: null, providerMessageId: 'p1', startedAt };
}

const readerOf = (db: pg.Pool, id: string) => (start: number, length: number) => readRawSlice(db, id, start, length);

describe('claims', () => {
  it('come with all that sending needs, small messages included', async t => {
    const { db, worker, row } = await openStore(t);
    const raw = Buffer.from([...Array(256).keys()]);
    const tags = [{ name: 'a', value: 'b' }];
    const id = await storeMessage(db, { raw, tags, recipients: ['x@example.com', 'y@example.com'], trackOpens: true });
    const [claim] = await worker('a').claims.take([id]);
    assert.equal(claim?.emailId, id);
    assert.equal(claim.try, 0);
    assert.deepEqual(claim.earlier, []);
    assert.deepEqual(claim.message.raw, raw);
    assert.deepEqual(claim.message.recipients, ['x@example.com', 'y@example.com']);
    assert.deepEqual(claim.message.tags, tags);
    assert.equal(claim.message.trackOpens, true);
    assert.equal(claim.message.trackClicks, null);
    assert.equal(claim.message.reversePath, 'bounces@acme.test');
    assert.equal((await row(id)).status, 'queued', 'that it is being sent is told by the claim alone');
    assert.equal((await findEmail(db, id))?.status, 'processing');
  });

  it('of large messages leave the bytes to be read slice by slice', async t => {
    const { db, worker } = await openStore(t);
    const raw = Buffer.alloc(9 * 1024 * 1024 + 17, 'The quick brown fox\r\n');
    const id = await storeMessage(db, { raw });
    const [claim] = await worker('a').claims.take([id]);
    assert.equal(claim?.message.raw, null);
    assert.ok((await readRawMessage(readerOf(db, id), claim?.message.sizeBytes ?? 0))?.equals(raw));
    assert.equal(await readRawMessage(readerOf(db, claim?.token ?? ''), 1), null);
  });

  it('are given to one of many who ask at once', async t => {
    const { db, worker } = await openStore(t);
    const ids = await Promise.all(Array.from({ length: 20 }, () => storeMessage(db)));
    const workers = ['a', 'b', 'c', 'd', 'e'].map(name => worker(name).claims);
    const taken = await Promise.all(workers.map((claims, index) => claims.take(index % 2 ? ids : ids.toReversed())));
    assert.deepEqual(
      taken
        .flat()
        .map(claim => claim.emailId)
        .sort(),
      [...ids].sort(),
    );
  });

  it('are given only of what is queued and due, and is ours', async t => {
    const { db, worker } = await openStore(t);
    const [done, later, foreign, due] = [
      await storeMessage(db),
      await storeMessage(db),
      await storeMessage(db),
      await storeMessage(db),
    ];
    await db.query("update emails set status = 'sent' where id = $1", [done]);
    await db.query("update emails set provider_next_retry_at = now() + interval '1 h' where id = $1", [later]);
    await db.query('delete from smtp_relay_messages where email_id = $1', [foreign]);
    const claimed = await worker('a').claims.take([done, later, foreign, due]);
    assert.deepEqual(
      claimed.map(claim => claim.emailId),
      [due],
    );
    const { rows } = await db.query('select id, status from emails where id = $1', [foreign]);
    assert.equal(rows[0].status, 'queued');
  });

  it('are taken over when their lease has run out, not before', async t => {
    const { db, worker, expire } = await openStore(t);
    const id = await storeMessage(db);
    const [a, b] = [worker('a').claims, worker('b').claims];
    const [first] = await a.take([id]);
    assert.deepEqual(await b.takeOver(10), []);
    assert.deepEqual(await b.take([id]), []);
    await expire();
    await a.renew([first as Claim]);
    assert.deepEqual(await b.takeOver(10), [], 'renewed in time');
    await expire();
    const [second] = await b.takeOver(10);
    assert.equal(second?.emailId, id);
    assert.notEqual(second?.token, first?.token);
    assert.deepEqual(second?.earlier, [], 'no call had begun');
  });

  it('are taken over by a job that comes again, too', async t => {
    const { db, worker, expire } = await openStore(t);
    const id = await storeMessage(db);
    await worker('a').claims.take([id]);
    await expire();
    assert.equal((await worker('b').claims.take([id])).length, 1);
  });

  it('that were lost in the middle of a call tell that nobody knows how it ended', async t => {
    const { db, worker, expire } = await openStore(t);
    const id = await storeMessage(db, { recipients: ['x@example.com', 'y@example.com'] });
    const [claim] = await worker('a').claims.take([id]);
    assert.equal(await worker('a').claims.beginSending(claim as Claim, ['y@example.com']), true);
    await expire();
    const [second] = await worker('b').claims.takeOver(10);
    assert.deepEqual(
      second?.earlier.map(({ outcome, recipients }) => ({ outcome, recipients })),
      [{ outcome: 'unknown', recipients: ['y@example.com'] }],
    );
    await expire();
    const [third] = await worker('c').claims.takeOver(10);
    assert.equal(third?.earlier.length, 1, 'written down once');
  });

  it('that are handed back are taken at once, but not those of which a call has begun', async t => {
    const { db, worker } = await openStore(t);
    const ids = [await storeMessage(db), await storeMessage(db)];
    const { claims } = worker('a');
    const [waiting, begun] = await claims.take(ids);
    await claims.beginSending(begun as Claim, ['to@example.com']);
    await claims.handBack([waiting as Claim, begun as Claim]);
    const taken = await worker('b').claims.takeOver(10);
    assert.deepEqual(
      taken.map(claim => claim.emailId),
      [waiting?.emailId],
    );
  });
});

describe('settling', () => {
  it('fences: whoever lost a claim begins nothing, and writes nothing but what the transport has answered, once', async t => {
    const { db, worker, row, expire } = await openStore(t);
    const id = await storeMessage(db);
    const [a, b] = [worker('a'), worker('b')];
    const [first] = (await a.claims.take([id])) as [Claim];
    await expire();
    const [second] = (await b.claims.takeOver(10)) as [Claim];
    assert.equal(await a.claims.beginSending(first, ['to@example.com']), false);
    const stale = settlement(first, { attempts: [attempt('permanent', ['to@example.com'])], standing: failed() });
    assert.equal((await a.settler.settle(stale, never)).owned, false);
    assert.equal((await row(id)).status, 'queued');
    const attempts = 'select outcome, worker from smtp_relay_attempts';
    assert.deepEqual((await db.query(attempts)).rows, [{ outcome: 'permanent', worker: 'a' }]);
    assert.equal((await b.settler.settle(settlement(second), never)).owned, true);
    assert.equal((await row(id)).status, 'sent');
    assert.equal((await a.settler.settle(stale, never)).owned, false);
    assert.equal((await row(id)).status, 'sent');
    assert.equal((await db.query(attempts)).rowCount, 1);
  });

  it('writes a retry as a queued row with its time, and a job due then', async t => {
    const { db, worker, row } = await openStore(t);
    const id = await storeMessage(db);
    await db.query('delete from smtp_relay_outbox');
    const { claims, settler } = worker('a');
    const [claim] = (await claims.take([id])) as [Claim];
    const error = { code: 'Throttling', message: 'slow\0down' };
    await settler.settle(settlement(claim, { standing: { kind: 'retry', error, afterMs: 90_000 } }), never);
    const email = await row(id);
    assert.equal(email.status, 'queued');
    assert.equal(email.provider_retry_count, 1);
    assert.equal(email.provider_last_error_code, 'Throttling');
    assert.equal(email.provider_last_error_message, 'slowdown');
    const { rows } = await db.query('select try, due_at from smtp_relay_outbox where email_id = $1', [id]);
    assert.deepEqual(rows, [{ try: 1, due_at: email.provider_next_retry_at }]);
    assert.ok(Math.abs(email.provider_next_retry_at.getTime() - Date.now() - 90_000) < 10_000);
    assert.deepEqual(await claims.take([id]), [], 'not due yet');
    await db.query('update emails set provider_next_retry_at = now()');
    const [again] = await claims.take([id]);
    assert.equal(again?.try, 1);
  });

  it('leaves a graver status that events brought meanwhile', async t => {
    const { db, worker, row } = await openStore(t);
    const { claims, settler } = worker('a');
    const expected = { delivered: 'delivered', complained: 'complained', opened: 'sent' };
    for (const [type, status] of Object.entries(expected)) {
      const id = await storeMessage(db);
      const [claim] = (await claims.take([id])) as [Claim];
      await db.query("insert into email_events (email_id, type, payload) values ($1, $2, '{}')", [id, type]);
      await settler.settle(settlement(claim), never);
      assert.equal((await row(id)).status, status, type);
    }
  });

  it('keeps a message that is under way, and one that a person has to decide', async t => {
    const { db, worker, expire } = await openStore(t);
    const id = await storeMessage(db, { recipients: ['x@example.com', 'y@example.com'] });
    const { claims, settler } = worker('a');
    const [claim] = (await claims.take([id])) as [Claim];
    const part = { attempts: [attempt('sent', ['x@example.com'])], standing: { kind: 'underway' as const } };
    assert.equal((await settler.settle(settlement(claim, part), never)).owned, true);
    assert.equal((await findEmail(db, id))?.status, 'processing');
    await settler.settle(settlement(claim, { standing: { kind: 'held' } }), never);
    await expire();
    await db.query("update smtp_relay_claims set until = 'infinity'");
    assert.deepEqual(await claims.takeOver(10), []);
    assert.deepEqual(await claims.take([id]), []);
    assert.equal((await findEmail(db, id))?.status, 'processing');
  });

  it('writes events, and what is due to webhooks, by the same commit', async t => {
    const { db, worker } = await openStore(t);
    await db.query(`insert into webhooks (url, event_types, user_id) values
      ('https://a.test', '["email.sent"]', 'acme'), ('https://b.test', '["email.failed"]', 'acme'),
      ('https://c.test', '["email.sent"]', 'other')`);
    const id = await storeMessage(db);
    const { claims, settler } = worker('a');
    const [claim] = (await claims.take([id])) as [Claim];
    const event = {
      id: claim.token,
      emailId: id,
      userId: 'acme',
      type: 'sent' as const,
      sourceId: 'ses:1:send',
      payload: { a: 1 },
    };
    const settled = await settler.settle(settlement(claim, { events: [event] }), never);
    assert.deepEqual(settled, { owned: true, deliveriesDue: true });
    const { rows } = await db.query(
      `select w.url, d.status, d.attempt, e.type, e.payload, e.source_id from webhook_deliveries d
         join webhooks w on w.id = d.webhook_id join email_events e on e.id = d.event_id`,
    );
    const delivery = { url: 'https://a.test', status: 'pending', attempt: 0 };
    assert.deepEqual(rows, [{ ...delivery, type: 'sent', payload: { a: 1 }, source_id: 'ses:1:send' }]);
  });

  it('of many at once is written for each', async t => {
    const { db, worker } = await openStore(t);
    const ids = await Promise.all(Array.from({ length: 100 }, () => storeMessage(db)));
    const { claims, settler } = worker('a');
    const claimed = await claims.take(ids);
    const settled = await Promise.all(claimed.map(claim => settler.settle(settlement(claim), never)));
    assert.ok(settled.every(({ owned }) => owned));
    const { rows } = await db.query(
      "select count(*)::integer as sent from emails where status = 'sent' and sent_at is not null",
    );
    assert.equal(rows[0].sent, 100);
    assert.equal((await db.query('select from smtp_relay_claims')).rowCount, 0);
  });
});

function failed() {
  return { kind: 'failed' as const, error: { code: 'x', message: 'y' }, exhausted: false };
}

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { pino } from 'pino';
import { newTrace } from '../../src/observability/tracing.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { type Claim, Claims } from '../../src/store/delivery/claims.ts';
import { type Settlement, Settler } from '../../src/store/delivery/settle.ts';
import { createDatabase } from '../support/database.ts';
import { storeMessage } from '../support/stored.ts';

const logger = pino({ level: 'silent' });
const never = new AbortController().signal;

async function openStore(t: TestContext) {
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const databaseUrl = await createDatabase({ after: fn => parts.defer(fn) });
  const options = { databaseUrl, poolSize: 8, connectTimeout: 60_000, statementTimeout: 60_000 };
  const db = createPool(options, logger);
  parts.defer(() => db.end());
  const claims = (worker: string, leaseTime = 60_000) => new Claims(db, { worker, leaseTime });
  const settler = new Settler({ pool: db, worker: 'a', logger });
  return { db, claims, settler };
}

async function take(claims: Claims, db: pg.Pool): Promise<Claim> {
  const [claim] = await claims.take([await storeMessage(db)]);
  assert.ok(claim);
  return claim;
}

function settlement(claim: Claim, more: Partial<Settlement> = {}): Settlement {
  return { claim, standing: { kind: 'sent' }, attempts: [], events: [], trace: newTrace(), notice: null, ...more };
}

describe('a claim', () => {
  it('that was handed back is not renewed by a renewal that comes late', async t => {
    const { db, claims } = await openStore(t);
    const claim = await take(claims('a'), db);
    await claims('a').handBack([claim]);
    await claims('a').renew([claim]);
    assert.equal((await claims('b').takeOver(10)).length, 1);
  });

  it('that is held is not renewed, and not taken over', async t => {
    const { db, claims, settler } = await openStore(t);
    const claim = await take(claims('a'), db);
    const unknown = { outcome: 'unknown' as const, transport: 'ses', code: 'x', message: 'y' };
    const attempt = { ...unknown, recipients: ['to@example.com'], providerMessageId: null, startedAt: new Date() };
    await settler.settle(settlement(claim, { standing: { kind: 'held' }, attempts: [attempt] }), never);
    await claims('a').renew([claim]);
    const { rows } = await db.query('select state, until::text from smtp_relay_claims');
    assert.deepEqual(rows, [{ state: 'held', until: 'infinity' }]);
    await db.query("update smtp_relay_claims set until = '-infinity'");
    assert.deepEqual(await claims('b').takeOver(10), []);
  });

  it('is asked about again where the answer took longer than the lease, as for a paused process', async t => {
    const { db, claims } = await openStore(t);
    const lease = 400;
    const claim = await take(claims('a', lease), db);
    // Whenever it is written, somebody else has it a moment later.
    await db.query(
      `create function taken() returns trigger language plpgsql
           as 'begin new.token = gen_random_uuid(); return new; end';
       create trigger taken before update on smtp_relay_claims for each row execute function taken()`,
    );
    const locked = await db.connect();
    await locked.query('begin');
    await locked.query('select from smtp_relay_claims for update');
    const begun = claims('a', lease).beginSending(claim, ['to@example.com']);
    await sleep(2 * lease);
    await locked.query('commit');
    locked.release();
    assert.equal(await begun, false);
  });

  it('is renewed without waiting for one that is being settled', async t => {
    const { db, claims } = await openStore(t);
    const [one, other] = [await take(claims('a'), db), await take(claims('a'), db)];
    const locked = await db.connect();
    await locked.query('begin');
    await locked.query('select from smtp_relay_claims where email_id = $1 for update', [one.emailId]);
    await db.query('update smtp_relay_claims set until = now() where email_id = $1', [other.emailId]);
    await claims('a').renew([one, other]);
    await locked.query('rollback');
    locked.release();
    const { rows } = await db.query('select until > now() as renewed from smtp_relay_claims');
    assert.deepEqual(rows, [{ renewed: true }, { renewed: true }]);
  });
});

describe('beginning, renewing and settling many at once', () => {
  it('never wait for each other crosswise', async t => {
    const { db, claims, settler } = await openStore(t);
    const a = claims('a');
    const ids = await Promise.all(Array.from({ length: 60 }, () => storeMessage(db)));
    const mine = await a.take(ids);
    await Promise.all([
      ...mine.toReversed().map(claim => a.beginSending(claim, ['to@example.com'])),
      ...Array.from({ length: 20 }, () => a.renew(mine.toSorted(() => Math.random() - 0.5))),
      ...mine.map(claim => settler.settle(settlement(claim), never)),
    ]);
    assert.equal((await db.query('select from smtp_relay_claims')).rowCount, 0);
  });
});

describe('a settlement', () => {
  it('whose answer was lost, and that is written again, is there once', async t => {
    const { db, claims, settler } = await openStore(t);
    const claim = await take(claims('a'), db);
    const call = { transport: 'ses', recipients: ['to@example.com'], code: null, message: null };
    const attempt = { ...call, outcome: 'sent' as const, providerMessageId: 'x', startedAt: new Date() };
    const payload = { recipients: call.recipients };
    const event = { id: randomUUID(), emailId: claim.emailId, userId: 'acme', type: 'sent', sourceId: null, payload };
    const once = settlement(claim, { attempts: [attempt], events: [event as never] });
    assert.deepEqual(
      [(await settler.settle(once, never)).owned, (await settler.settle(once, never)).owned],
      [true, false],
    );
    for (const table of ['smtp_relay_attempts', 'email_events']) {
      assert.equal((await db.query(`select from ${table}`)).rowCount, 1, table);
    }
  });

  it('of one who has lost the claim tells nobody of a failure where somebody else has sent it', async t => {
    const { db, claims, settler } = await openStore(t);
    const claim = await take(claims('a'), db);
    await db.query("update smtp_relay_claims set until = now() - interval '1 minute'");
    const [second] = await claims('b').takeOver(1);
    assert.ok(second);
    const call = {
      transport: 'ses',
      recipients: ['to@example.com'],
      code: null,
      message: null,
      providerMessageId: null,
    };
    const payload = { recipients: call.recipients };
    const eventOf = (type: string) =>
      ({ id: randomUUID(), emailId: claim.emailId, userId: 'acme', type, sourceId: null, payload }) as never;
    const sent = { ...call, outcome: 'sent' as const, startedAt: new Date() };
    await settler.settle(settlement(second, { attempts: [sent], events: [eventOf('sent')] }), never);
    const refused = { ...call, outcome: 'permanent' as const, startedAt: new Date(0) };
    const late = settlement(claim, {
      standing: { kind: 'failed', error: null, exhausted: false },
      attempts: [refused],
      events: [eventOf('failed'), eventOf('delayed')],
    });
    assert.equal((await settler.settle(late, never)).owned, false);
    const { rows } = await db.query('select status from emails');
    assert.deepEqual(rows, [{ status: 'sent' }]);
    assert.deepEqual((await db.query('select type from email_events')).rows, [{ type: 'sent' }]);
    assert.equal((await db.query('select from smtp_relay_attempts')).rowCount, 2);
  });

  it('that the database refuses is written without events and notice, so that nothing is sent again', async t => {
    const { db, claims, settler } = await openStore(t);
    const claim = await take(claims('a'), db);
    const event = { id: 'no uuid', emailId: claim.emailId, userId: 'acme', type: 'sent', sourceId: null, payload: {} };
    const settled = await settler.settle(settlement(claim, { events: [event as never] }), never);
    assert.equal(settled.owned, true);
    const { rows } = await db.query('select status from emails');
    assert.deepEqual(rows, [{ status: 'sent' }]);
  });

  it('keeps the sent ones of a batch from the fault of another', async t => {
    const { db, claims, settler } = await openStore(t);
    const all = await Promise.all(Array.from({ length: 10 }, () => take(claims('a'), db)));
    const bad = { id: 'no uuid', userId: 'acme', type: 'sent', sourceId: null, payload: {} };
    const settled = await Promise.all(
      all.map((claim, nth) =>
        settler.settle(
          settlement(claim, nth === 3 ? { events: [{ ...bad, emailId: claim.emailId } as never] } : {}),
          never,
        ),
      ),
    );
    assert.ok(settled.every(({ owned }) => owned));
    assert.equal((await db.query("select from emails where status = 'sent'")).rowCount, 10);
  });
});

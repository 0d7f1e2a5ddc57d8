import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type pg from 'pg';
import { type Claim, Claims, LOST_FOR_GOOD } from '../../src/store/delivery/claims.ts';
import { resolveHeld } from '../../src/store/emails/actions.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';
import { storeMessage } from '../support/stored.ts';
import { startSending } from './support/sending.ts';

/** Milliseconds; the pause before a message is tried alone. */
const PAUSE = { first: 60_000, longest: 150_000 };

async function openStore(t: TestContext) {
  const databaseUrl = await createDatabase(t);
  const db = openPool(databaseUrl, 3);
  t.after(() => db.end());
  const worker = (name: string) => new Claims(db, { worker: name, leaseTime: 60_000, alonePause: PAUSE });
  return { db, worker };
}

/** The worker is gone: its leases ran out so many milliseconds ago. */
async function lose(db: pg.Pool, milliseconds = 1): Promise<void> {
  await db.query('update smtp_relay_claims set until = now() - make_interval(secs => $1)', [milliseconds / 1000]);
}

describe('a message that is lost with its workers', () => {
  it('is taken over twice as others are, and from then on alone, after pauses that grow', async t => {
    const { db, worker } = await openStore(t);
    const ids = [await storeMessage(db), await storeMessage(db)];
    assert.equal((await worker('a').take(ids)).length, 2);
    for (const [name, takeovers] of [
      ['b', 1],
      ['c', 2],
    ] as const) {
      await lose(db);
      const claims = await worker(name).takeOver(10);
      assert.deepEqual(
        claims.map(claim => claim.takeovers),
        [takeovers, takeovers],
      );
    }
    for (const nth of [0, 1, 2]) {
      const pause = Math.min(PAUSE.first * 2 ** nth, PAUSE.longest);
      await lose(db, pause - 5_000);
      assert.deepEqual(await worker('d').takeOver(10), [], 'not with others');
      assert.deepEqual(await worker('d').take(ids), [], 'nor by its job');
      assert.equal(await worker('d').takeOverAlone(), null, 'not yet');
      await lose(db, pause + 5_000);
      for (const _ of ids) {
        const claim = (await worker('d').takeOverAlone()) as Claim;
        assert.equal(claim.takeovers, 2 + nth);
        assert.ok(await worker('d').beginAlone(claim));
      }
      assert.equal(await worker('d').takeOverAlone(), null);
    }
    const { rows } = await db.query('select takeovers from smtp_relay_claims');
    assert.deepEqual(rows, [{ takeovers: LOST_FOR_GOOD }, { takeovers: LOST_FOR_GOOD }]);
  });

  it('is not counted where it was given back, nor where its worker has failed and lives', async t => {
    const { db, worker } = await openStore(t);
    const id = await storeMessage(db);
    let claims = await worker('a').take([id]);
    for (const name of ['b', 'c', 'd', 'e']) {
      await worker(name).handBack(claims);
      claims = await worker(name).takeOver(1);
      assert.equal(claims[0]?.takeovers, 0);
    }
    for (const name of ['b', 'c', 'd', 'e']) {
      await worker(name).absolve(claims[0] as Claim);
      await lose(db);
      claims = await worker(name).takeOver(1);
      assert.equal(claims[0]?.takeovers, 0);
    }
  });

  it('is sent, tried alone, where it is not the one that ends workers', async t => {
    const sending = await startSending(t);
    const id = await lostMessage(sending, 2);
    await sending.until(id, 'sent');
    assert.equal(sending.received(id).length, 1);
  });

  it('is held in the end, with an event, while others are sent; a person lets it go on', async t => {
    const sending = await startSending(t);
    const id = await lostMessage(sending, LOST_FOR_GOOD);
    await eventually(async () => (await sending.story(id)).claim?.state === 'held');
    const held = await sending.story(id);
    assert.equal(held.row['provider_last_error_code'], 'WorkersLost');
    const [event] = held.events;
    assert.equal(event?.type, 'delayed');
    const { code, next_attempt_at } = event.payload['delayed'] as Record<string, unknown>;
    assert.deepEqual([code, next_attempt_at, event.payload['recipients']], ['WorkersLost', null, ['to@example.com']]);
    const other = await sending.store();
    await sending.until(other, 'sent');
    assert.equal((await sending.story(id)).claim?.state, 'held', 'and nothing but a person ends that');
    assert.deepEqual(sending.received(id), []);
    await resolveHeld(sending.db, id, 'retry');
    await sending.until(id, 'sent');
  });
});

describe('a person who says of a message that workers end with', () => {
  it('that it was sent, ends it without a further try', async t => {
    const sending = await startSending(t);
    const id = await lostMessage(sending, LOST_FOR_GOOD);
    await eventually(async () => (await sending.story(id)).claim?.state === 'held');
    assert.deepEqual((await resolveHeld(sending.db, id, 'sent')).recipients, ['to@example.com']);
    await sending.until(id, 'sent');
    assert.deepEqual(sending.received(id), []);
  });
});

/** A message whose last worker is gone, as so many before it. */
async function lostMessage({ db }: { readonly db: pg.Pool }, takeovers: number): Promise<string> {
  const id = await storeMessage(db, { outboxLease: null });
  await db.query("update emails set status = 'processing' where id = $1", [id]);
  await db.query(
    `insert into smtp_relay_claims (email_id, worker, token, try, until, takeovers)
     values ($1, 'gone', gen_random_uuid(), 0, now() - interval '1 day', $2)`,
    [id, takeovers],
  );
  return id;
}

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readFleet } from '../../src/store/delivery/fleet.ts';
import { readOldestWaiting } from '../../src/store/delivery/oldest-waiting.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';

/** An email of so many hours ago. */
const INSERT = `
  insert into emails ("from", "to", subject, text, status, user_id, created_at)
  values ('a@acme.test', '["b@example.com"]', 'Hello', 'Hi', $1, 'acme', now() - make_interval(hours => $2)) returning id`;

describe('the message that waits longest', () => {
  it('is the oldest that is to be sent, also where its job comes later or is in the queue, and not one that is held', async t => {
    const db = openPool(await createDatabase(t, { pipeline: 'standalone' }), 2);
    t.after(() => db.end());
    const hours = async () => {
      const [seconds, { oldestWaiting }] = [await readOldestWaiting(db), await readFleet(db)];
      assert.ok(Math.abs(oldestWaiting - seconds) < 60);
      return Math.round(seconds / 3_600);
    };
    const add = async (status: string, ago: number) =>
      (await db.query<{ id: string }>(INSERT, [status, ago])).rows[0]?.id ?? '';
    assert.equal(await hours(), 0);
    for (const status of ['sent', 'failed', 'delivered', 'suppressed', 'scheduled']) await add(status, 90);
    assert.equal(await hours(), 0);
    await add('queued', 2);
    assert.equal(await hours(), 2);
    // Put back often, so that its job is never due for long.
    const putBack = await add('queued', 6);
    await db.query(
      `insert into smtp_relay_outbox (email_id, user_id, try, due_at, correlation_id, traceparent)
       values ($1, 'acme', 29, now() + interval '1 minute', 'c', '')`,
      [putBack],
    );
    assert.equal(await hours(), 6);
    const held = await add('processing', 20);
    assert.equal(await hours(), 20);
    await db.query(
      `insert into smtp_relay_claims (email_id, token, try, worker, until, state)
       values ($1, gen_random_uuid(), 0, 'a-worker', 'infinity', 'held')`,
      [held],
    );
    assert.equal(await hours(), 6);
  });
});

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { resolveHeld } from '../../../src/store/email-actions.ts';
import { eventually } from '../../support/eventually.ts';
import { addresses } from '../support/sending.ts';
import { createFleet, type Fleet, LEASE, outcomesOf, untilClaimed } from './support/fleet.ts';

const WITHIN = LEASE + 10_000;
const SLOW = { kind: 'delay', delayMs: 700 } as const;
const HOLD = { env: { SMTP_RELAY_ON_UNKNOWN_OUTCOME: 'hold' } };

/** Lets a worker begin a call for a message, and kills it in the middle: SES has the request and will take the message. */
async function killInCall(fleet: Fleet): Promise<string> {
  const worker = await fleet.spawn();
  const before = await fleet.calls();
  await fleet.plan(SLOW);
  const id = await fleet.store();
  await fleet.called(before + 1);
  await worker.end('SIGKILL');
  return id;
}

/** Another worker is there already when the first one dies. */
async function outlive(t: TestContext, options: Parameters<typeof createFleet>[1] = {}): Promise<Fleet> {
  return createFleet(t, { queue: null, ...options });
}

// They wait more than they work.
describe('a worker killed with -9', { concurrency: 2 }, () => {
  it('during a call: the outcome is unknown, and with `retry` it is sent again, by another within lease and 10 s', async t => {
    const fleet = await outlive(t);
    const id = await killInCall(fleet);
    const killed = performance.now();
    assert.equal((await fleet.story(id)).claim?.state, 'sending');
    await fleet.spawn();
    const story = await fleet.until(id, 'sent');
    assert.ok(performance.now() - killed < WITHIN);
    assert.deepEqual(outcomesOf(story), ['unknown', 'sent']);
    assert.equal(story.attempts[0]?.code, 'WorkerLost');
    assert.deepEqual(story.attempts[0].recipients, ['to@example.com']);
    assert.equal((await fleet.received(id)).length, 2, 'the duplicate that the attempt explains');
  });

  it('during a call: with `hold` it is processing and held, and nothing is sent until somebody says so', async t => {
    const fleet = await outlive(t, HOLD);
    const id = await killInCall(fleet);
    await fleet.spawn();
    await untilClaimed(fleet, 1, 'held');
    const { row, attempts } = await fleet.story(id);
    assert.equal(row.status, 'processing');
    assert.deepEqual(
      attempts.map(({ outcome }) => outcome),
      ['unknown'],
    );
    // Longer than any lease.
    await sleep(LEASE + 500);
    assert.equal((await fleet.received(id)).length, 1);
    assert.equal((await fleet.story(id)).claim?.state, 'held');
    await resolveHeld(fleet.db, id, 'retry');
    await fleet.until(id, 'sent');
    assert.equal((await fleet.received(id)).length, 2);
  });

  it('before the call began: it is simply sent, also with `hold`', async t => {
    const fleet = await outlive(t, HOLD);
    const slow = await fleet.spawn({ SMTP_RELAY_SES_SEND_RATE: '1' });
    // So many recipients use up what may be sent for half a minute, so the next message is claimed and waits.
    const first = await fleet.store({ recipients: addresses(30) });
    await fleet.until(first, 'sent');
    const id = await fleet.store();
    await untilClaimed(fleet, 1, 'claimed');
    await slow.end('SIGKILL');
    const killed = performance.now();
    await fleet.spawn();
    const story = await fleet.until(id, 'sent');
    assert.ok(performance.now() - killed < WITHIN);
    assert.deepEqual(outcomesOf(story), ['sent']);
    assert.equal((await fleet.received(id)).length, 1);
  });

  it('after the call, before its outcome is written: unknown as well, and no message is lost', async t => {
    const fleet = await outlive(t);
    const worker = await fleet.spawn();
    const id = await fleet.store({ outboxLease: 600_000 });
    const locked = await fleet.db.connect();
    await locked.query('begin');
    // A claim's update waits for nobody here, the settlement does.
    await eventually(async () => {
      await fleet.db.query('update smtp_relay_outbox set leased_until = null where email_id = $1', [id]);
      const { rows } = await fleet.db.query('select from smtp_relay_claims where email_id = $1', [id]);
      return rows.length === 1;
    });
    await locked.query('select from emails where id = $1 for update', [id]);
    await fleet.called(1);
    await eventually(async () => (await fleet.received(id)).length === 1);
    await worker.end('SIGKILL');
    const { claim } = await fleet.story(id);
    await locked.query('rollback');
    locked.release();
    assert.equal(claim?.state, 'sending');
    await fleet.spawn();
    const story = await fleet.until(id, 'sent');
    assert.deepEqual(outcomesOf(story), ['unknown', 'sent']);
  });

  it('between batches: the next goes on with those who have not had it', async t => {
    const fleet = await outlive(t);
    const worker = await fleet.spawn();
    const recipients = addresses(120);
    await fleet.plan({ kind: 'delay', delayMs: 0 });
    await fleet.plan({ kind: 'drop' });
    await fleet.plan({ kind: 'delay', delayMs: 3_000 });
    const id = await fleet.store({ recipients });
    await fleet.called(1);
    await eventually(async () => (await fleet.story(id)).attempts.length >= 1, 8_000);
    await worker.end('SIGKILL');
    await fleet.spawn();
    const story = await fleet.until(id, 'sent');
    const had = new Map<string, number>();
    for (const recipient of (await fleet.received(id)).flat()) had.set(recipient, (had.get(recipient) ?? 0) + 1);
    assert.deepEqual([...had.keys()].sort(), recipients.toSorted(), 'nobody is left out');
    const unknown = new Set(story.attempts.filter(({ outcome }) => outcome === 'unknown').flatMap(a => a.recipients));
    for (const [recipient, times] of had) assert.ok(times === 1 || unknown.has(recipient), `${recipient}: ${times}`);
    for (const recipient of recipients.slice(0, 50)) assert.equal(had.get(recipient), 1, 'was settled before');
  });
});

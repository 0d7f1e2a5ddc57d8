import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { resolveHeld } from '../../../src/store/emails/actions.ts';
import { findEmail } from '../../../src/store/emails/show.ts';
import { eventually } from '../../support/eventually.ts';
import { addresses } from '../support/sending.ts';
import { createFleet, type Fleet, LEASE, outcomesOf, untilClaimed } from './support/fleet.ts';

// That the lease has ended is all that anybody waits for: a lost job is looked for only after `republishAfter`, ten minutes.
const RETRY = { queue: null };
const HOLD = { queue: null, env: { SMTP_RELAY_ON_UNKNOWN_OUTCOME: 'hold' } };

/** Lets a worker begin a call that SES reads and does not answer, and kills it in the middle, when another one works. */
async function killInCall(fleet: Fleet): Promise<string> {
  const worker = await fleet.spawn();
  fleet.plan({ kind: 'timeout' });
  const id = await fleet.store();
  await fleet.called(1);
  await fleet.spawn();
  await worker.end('SIGKILL');
  return id;
}

// They wait more than they work.
describe('a worker killed with -9', { concurrency: 2 }, () => {
  it('during a call: the outcome is unknown, and with `retry` it is sent again, by another when the lease has ended', async t => {
    const fleet = await createFleet(t, RETRY);
    const id = await killInCall(fleet);
    assert.equal((await fleet.story(id)).claim?.state, 'sending');
    const story = await fleet.until(id, 'sent');
    assert.deepEqual(outcomesOf(story), ['unknown', 'sent']);
    assert.equal(story.attempts[0]?.code, 'WorkerLost');
    assert.deepEqual(story.attempts[0].recipients, ['to@example.com']);
    assert.equal(fleet.calls, 2, 'the second one is what the attempt explains');
  });

  it('during a call: with `hold` it is processing and held, and nothing is sent until somebody says so', async t => {
    const fleet = await createFleet(t, HOLD);
    const id = await killInCall(fleet);
    await untilClaimed(fleet, 1, 'held');
    const { attempts } = await fleet.story(id);
    assert.equal((await findEmail(fleet.db, id))?.status, 'processing');
    assert.deepEqual(
      attempts.map(({ outcome }) => outcome),
      ['unknown'],
    );
    // Longer than any lease.
    await sleep(LEASE + 500);
    assert.equal(fleet.calls, 1);
    assert.equal((await fleet.story(id)).claim?.state, 'held');
    await resolveHeld(fleet.db, id, 'retry');
    await fleet.until(id, 'sent');
    assert.equal(fleet.calls, 2);
  });

  it('during a call of a message that is also for a test address: that is told of once, by the one who settles', async t => {
    const fleet = await createFleet(t, RETRY);
    const worker = await fleet.spawn();
    fleet.plan({ kind: 'timeout' });
    const id = await fleet.store({ recipients: ['bounced@resend.dev', 'to@example.com'] });
    await fleet.called(1);
    assert.deepEqual((await fleet.story(id)).events, [], 'nothing is told before it is settled');
    await fleet.spawn();
    await worker.end('SIGKILL');
    const { events } = await fleet.until(id, 'bounced');
    // What SES took may come before or behind what is told of the test address a moment later.
    assert.deepEqual(events.map(({ type, payload }) => `${type} ${payload['recipients']}`).toSorted(), [
      'bounced bounced@resend.dev',
      'sent bounced@resend.dev',
      'sent to@example.com',
    ]);
    assert.deepEqual(fleet.received(id), [['to@example.com']]);
  });

  it('before the call began: it is simply sent, also with `hold`', async t => {
    const fleet = await createFleet(t, HOLD);
    const worker = await fleet.spawn();
    // What stores it looks there, too, so that its job is due only later.
    const id = await fleet.store({ outboxLease: 3_600_000 });
    // The last look before the call waits for this.
    const locked = await fleet.db.connect();
    await locked.query('begin');
    await locked.query('lock table email_suppressions in access exclusive mode');
    await fleet.db.query('update smtp_relay_outbox set leased_until = now()');
    await untilClaimed(fleet, 1, 'claimed');
    await worker.end('SIGKILL');
    await locked.query('rollback');
    locked.release();
    await fleet.spawn();
    const story = await fleet.until(id, 'sent');
    assert.deepEqual(outcomesOf(story), ['sent']);
    assert.equal(fleet.received(id).length, 1);
  });

  it('after the call, before its outcome is written: unknown as well, and no message is lost', async t => {
    const fleet = await createFleet(t, RETRY);
    const worker = await fleet.spawn();
    const answer = Promise.withResolvers<void>();
    fleet.plan({ kind: 'delay', until: answer.promise });
    const id = await fleet.store();
    await fleet.called(1);
    // The settlement waits for this.
    const locked = await fleet.db.connect();
    await locked.query('begin');
    await locked.query('select from emails where id = $1 for update', [id]);
    answer.resolve();
    await eventually(() => fleet.received(id).length === 1);
    await worker.end('SIGKILL');
    const { claim } = await fleet.story(id);
    await locked.query('rollback');
    locked.release();
    assert.equal(claim?.state, 'sending');
    await fleet.spawn();
    const story = await fleet.until(id, 'sent');
    assert.deepEqual(outcomesOf(story), ['unknown', 'sent']);
    assert.equal(fleet.received(id).length, 2, 'the duplicate that the attempt explains');
  });

  it('in the second of three batches: the next worker goes on with those who have not had it', async t => {
    const fleet = await createFleet(t, RETRY);
    const worker = await fleet.spawn();
    const recipients = addresses(120);
    const batches = [recipients.slice(0, 50), recipients.slice(50, 100), recipients.slice(100)];
    fleet.plan({ kind: 'delay', delayMs: 0 });
    fleet.plan({ kind: 'timeout' });
    const id = await fleet.store({ recipients });
    await fleet.called(2);
    await worker.end('SIGKILL');
    await fleet.spawn();
    const story = await fleet.until(id, 'sent');
    assert.deepEqual(fleet.received(id), batches, 'the first one once, the others after it');
    assert.deepEqual(
      story.attempts.map(attempt => [attempt.outcome, attempt.recipients]),
      [
        ['sent', batches[0]],
        ['unknown', batches[1]],
        ['sent', batches[1]],
        ['sent', batches[2]],
      ],
    );
  });
});

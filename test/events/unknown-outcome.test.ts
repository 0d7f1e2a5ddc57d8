import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { releaseHeld } from '../../src/store/events/incoming.ts';
import { MESSAGE_ID, ses } from './support/ses.ts';
import { addAttempt, type EventSystem, startEventSystem } from './support/system.ts';

const ATTEMPTS = `
  select outcome, recipients, provider_message_id as "messageId" from smtp_relay_attempts where email_id = $1 order by id`;
const SETTLED = 'smtp_relay_unknown_outcomes_settled_total';
const RECIPIENTS = ['A@x.test', 'b@x.test'];

/** A message whose first try has an unknown outcome for both its recipients. */
async function addUnknown(system: EventSystem, status: string): Promise<string> {
  const emailId = await system.addEmail({ status, recipients: RECIPIENTS });
  await addAttempt(system.pool, emailId, { recipients: RECIPIENTS, outcome: 'unknown' });
  return emailId;
}

async function addClaim(system: EventSystem, emailId: string, state: string, inFlight: readonly string[] | null) {
  await system.rows(
    `insert into smtp_relay_claims (email_id, worker, token, state, in_flight, try, until)
     values ($1, 'worker', gen_random_uuid(), $2, $3, 0, now() + interval '1 hour')`,
    [emailId, state, inFlight && JSON.stringify(inFlight)],
  );
}

async function claimOf(system: EventSystem, emailId: string) {
  const sql = 'select state, until <= now() as due from smtp_relay_claims where email_id = $1';
  return (await system.rows(sql, [emailId]))[0];
}

describe('an outcome that is unknown', { concurrency: true }, () => {
  for (const [name, record] of [
    ['Send', ses.send],
    ['Delivery', ses.delivery],
    ['Bounce', ses.bounce],
    ['Complaint', ses.complaint],
    ['Open', ses.open],
    ['DeliveryDelay', ses.delay],
  ] as const) {
    it(`is settled by ${name}: it was sent, and the retry is due now`, async t => {
      const system = await startEventSystem(t);
      const emailId = await addUnknown(system, 'queued');
      await system.rows(`update emails set provider_next_retry_at = now() + interval '1 hour' where id = $1`, [
        emailId,
      ]);
      await system.rows(
        `insert into smtp_relay_outbox (email_id, try, due_at, correlation_id, traceparent)
         values ($1, 1, now() + interval '1 hour', 'c', 't')`,
        [emailId],
      );
      await system.record(record({ emailId, destination: ['a@x.test', 'b@x.test'] }));
      const [, settled, ...others] = await system.rows(ATTEMPTS, [emailId]);
      assert.deepEqual(others, []);
      assert.deepEqual([settled.outcome, settled.messageId], ['sent', MESSAGE_ID]);
      assert.deepEqual(settled.recipients.toSorted(), RECIPIENTS, 'as the envelope spells them');
      assert.deepEqual(await system.rows('select due_at <= now() as due from smtp_relay_outbox'), [{ due: true }]);
      const sql = 'select status, provider_next_retry_at <= now() as due from emails where id = $1';
      assert.deepEqual(await system.rows(sql, [emailId]), [{ status: 'queued', due: true }]);
      assert.equal(await system.counted(SETTLED), 1);
    });
  }

  it('is settled as refused where SES took the message and then rejected it', async t => {
    const system = await startEventSystem(t);
    const emailId = await addUnknown(system, 'queued');
    await system.record(ses.reject({ emailId, destination: RECIPIENTS }));
    assert.equal((await system.rows(ATTEMPTS, [emailId]))[1].outcome, 'permanent');
  });

  it('ends a hold', async t => {
    const system = await startEventSystem(t);
    const emailId = await addUnknown(system, 'processing');
    await addClaim(system, emailId, 'held', null);
    await system.record(ses.delivery({ emailId, destination: RECIPIENTS }));
    assert.deepEqual(await claimOf(system, emailId), { state: 'claimed', due: true });
  });

  it('stays unknown for recipients of another call', async t => {
    const system = await startEventSystem(t);
    const emailId = await addUnknown(system, 'processing');
    await addClaim(system, emailId, 'held', null);
    await system.record(ses.delivery({ emailId, destination: ['b@x.test'] }));
    assert.deepEqual((await system.rows(ATTEMPTS, [emailId]))[1].recipients, ['b@x.test']);
    assert.equal((await claimOf(system, emailId)).state, 'held');
    await system.record(ses.delivery({ emailId, destination: ['a@x.test'], messageId: 'the-other-call' }));
    assert.equal((await claimOf(system, emailId)).state, 'claimed');
  });

  it('is settled once, however often it is told', async t => {
    const system = await startEventSystem(t);
    const emailId = await addUnknown(system, 'queued');
    const records = [ses.send, ses.delivery, ses.open].map(record => record({ emailId, destination: RECIPIENTS }));
    await Promise.all(records.map(system.record));
    assert.equal((await system.rows(ATTEMPTS, [emailId])).length, 2);
  });

  it('does not arise where the worker died in the call, and SES told of it meanwhile', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail({ status: 'processing', recipients: RECIPIENTS });
    await addClaim(system, emailId, 'sending', RECIPIENTS);
    await system.record(ses.send({ emailId, destination: RECIPIENTS }));
    const [attempt, ...others] = await system.rows(ATTEMPTS, [emailId]);
    assert.deepEqual([attempt.outcome, attempt.recipients.toSorted(), others], ['sent', RECIPIENTS, []]);
    assert.deepEqual(await claimOf(system, emailId), { state: 'sending', due: false });
  });

  it('holds nothing where SES told before the worker gave up waiting for its answer', async t => {
    const system = await startEventSystem(t);
    const held = [await addUnknown(system, 'processing'), await addUnknown(system, 'processing')] as const;
    for (const emailId of held) await addClaim(system, emailId, 'held', null);
    await addAttempt(system.pool, held[0], { recipients: RECIPIENTS, outcome: 'sent' });
    await releaseHeld(system.pool, held);
    assert.equal((await claimOf(system, held[0])).state, 'claimed');
    assert.equal((await claimOf(system, held[1])).state, 'held');
  });

  it('is not touched by events of messages that are done', async t => {
    const system = await startEventSystem(t);
    const emailId = await system.addEmail({ providerMessageId: MESSAGE_ID });
    await system.record(ses.delivery({ emailId }));
    assert.equal((await system.rows(ATTEMPTS, [emailId])).length, 1);
    assert.equal(await system.counted(SETTLED), 0);
  });
});

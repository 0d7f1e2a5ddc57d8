import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { StoreError } from '../../src/postgres/errors.ts';
import { cancelEmail } from '../../src/store/emails/actions.ts';
import { eventually } from '../support/eventually.ts';
import { addresses, type Sending, startSending } from './support/sending.ts';

/** A message whose job a worker has, but which nobody has claimed: it waits for the send rate, of which one has used up some seconds. */
async function storeWaiting(sending: Sending, recipients: readonly string[]): Promise<string> {
  const first = await sending.store({ recipients: addresses(12) });
  await sending.until(first, 'sent');
  const id = await sending.store({ recipients });
  const taken = 'select from smtp_relay_outbox where email_id = $1 and leased_until > now()';
  await eventually(async () => (await sending.db.query(taken, [id])).rowCount === 1);
  assert.equal((await sending.story(id)).claim, null);
  return id;
}

describe('a message that waits for the send rate', { concurrency: true }, () => {
  it('is not sent to whom comes onto the suppression list meanwhile, and to the others it is', async t => {
    const sending = await startSending(t, { 'ses.sendRate': 1 });
    const id = await storeWaiting(sending, ['gone@example.com', 'there@example.com']);
    await sending.db.query(
      "insert into email_suppressions (user_id, email, reason) values ('acme', 'gone@example.com', 'bounced')",
    );
    const { attempts } = await sending.until(id, 'sent');
    assert.deepEqual(attempts.map(({ outcome, recipients }) => [outcome, recipients]).toSorted(), [
      ['sent', ['there@example.com']],
      ['suppressed', ['gone@example.com']],
    ]);
    assert.deepEqual(sending.received(id), [['there@example.com']]);
  });

  it('is not sent at all where all have come onto it', async t => {
    const sending = await startSending(t, { 'ses.sendRate': 1 });
    const id = await storeWaiting(sending, ['gone@example.com']);
    await sending.db.query(
      "insert into email_suppressions (user_id, email, reason) values ('acme', 'gone@example.com', 'bounced')",
    );
    await sending.until(id, 'suppressed');
    assert.deepEqual(sending.received(id), []);
  });

  it('can be cancelled until its call begins', async t => {
    const sending = await startSending(t, { 'ses.sendRate': 1 });
    const id = await storeWaiting(sending, ['to@example.com']);
    await cancelEmail(sending.db, id);
    const later = await sending.store();
    await sending.until(later, 'sent');
    const { row, attempts, claim } = await sending.story(id);
    assert.deepEqual([row.status, attempts, claim], ['canceled', [], null]);
    assert.deepEqual(sending.received(id), []);
  });

  it('cannot be cancelled while its call is under way', async t => {
    const sending = await startSending(t);
    const answer = Promise.withResolvers<void>();
    sending.ses.faults.plan({ kind: 'delay', until: answer.promise });
    const id = await sending.store();
    await eventually(async () => (await sending.story(id)).claim?.state === 'sending');
    await assert.rejects(cancelEmail(sending.db, id), StoreError);
    answer.resolve();
    await sending.until(id, 'sent');
  });
});

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import type { Fault } from '../support/ses/faults.ts';
import { addresses, type Story, startSending } from './support/sending.ts';

const sending = await startSending({ after }, { failureNotices: 'on' });
const { ses, db, store, until, received } = sending;
const RECIPIENTS = addresses(120);
const BATCHES = [RECIPIENTS.slice(0, 50), RECIPIENTS.slice(50, 100), RECIPIENTS.slice(100)];
const FINE: Fault = { kind: 'delay', delayMs: 0 };

/** [outcome, recipients] of each attempt. */
function outcomes({ attempts }: Story): [string, readonly string[]][] {
  return attempts.map(({ outcome, recipients }) => [outcome, recipients]);
}

function planSecond(fault: Fault): void {
  ses.faults.plan(FINE);
  ses.faults.plan(fault);
}

/** The notice of a failure goes out too, and must not meet the fault that is planned for the next message. */
async function untilAllIsSent(): Promise<void> {
  await eventually(async () => {
    const { rowCount } = await db.query("select from emails where status in ('queued', 'processing')");
    return rowCount === 0;
  });
}

describe('a message to 120 recipients', () => {
  it('goes out in batches of 50, 50 and 20, each with an outcome and an event of its own', async () => {
    const id = await store({ recipients: RECIPIENTS });
    const story = await until(id, 'sent');
    assert.deepEqual(received(id), BATCHES);
    assert.deepEqual(
      outcomes(story),
      BATCHES.map(batch => ['sent', batch]),
    );
    assert.deepEqual(
      story.events.map(({ type, payload }) => [type, (payload['recipients'] as string[]).length]),
      [
        ['sent', 50],
        ['sent', 50],
        ['sent', 20],
      ],
    );
  });

  it('whose second batch is refused for good: the others have it, the row has failed, one event names the fifty', async () => {
    planSecond({ kind: 'error', status: 400, name: 'MessageRejected', message: 'Email is contaminated.' });
    const id = await store({ userId: 'second', recipients: RECIPIENTS });
    const story = await until(id, 'failed');
    assert.deepEqual(received(id), [BATCHES[0], BATCHES[2]]);
    assert.deepEqual(
      outcomes(story).map(([outcome]) => outcome),
      ['sent', 'permanent', 'sent'],
    );
    assert.ok(story.row['sent_at'], 'it went out to somebody');
    const failed = story.events.filter(({ type }) => type === 'failed');
    assert.deepEqual(
      failed.map(({ payload }) => payload['recipients']),
      [BATCHES[1]],
    );
    const notices = await db.query("select from emails where user_id = 'second' and id <> $1", [id]);
    assert.equal(notices.rowCount, 1);
    await untilAllIsSent();
  });

  it('whose first batch is refused for good has not gone out as long as no other has', async () => {
    ses.faults.plan({ kind: 'error', status: 400, name: 'MessageRejected', message: 'Email is contaminated.' });
    const goOn = Promise.withResolvers<void>();
    ses.faults.plan({ kind: 'delay', until: goOn.promise });
    const id = await store({ recipients: RECIPIENTS });
    await eventually(async () => (await sending.story(id)).attempts.length === 1);
    assert.equal((await sending.story(id)).row['sent_at'], null);
    goOn.resolve();
    assert.ok((await until(id, 'failed')).row['sent_at']);
    await untilAllIsSent();
  });

  it('whose second batch fails for the moment: only those who have not had it are tried again', async () => {
    planSecond({ kind: 'error', status: 500, name: 'InternalFailure' });
    const id = await store({ recipients: RECIPIENTS });
    const story = await until(id, 'sent');
    assert.deepEqual(received(id).flat().sort(), RECIPIENTS.toSorted(), 'each once');
    assert.deepEqual(
      outcomes(story).map(([outcome, recipients]) => [outcome, recipients.length]),
      [
        ['sent', 50],
        ['transient', 50],
        ['sent', 50],
        ['sent', 20],
      ],
    );
    assert.equal(story.row['provider_retry_count'], 1);
  });

  it('whose second batch ends unknown: only that one is sent again', async () => {
    planSecond({ kind: 'drop-after' });
    const id = await store({ recipients: RECIPIENTS });
    const story = await until(id, 'sent');
    assert.deepEqual(received(id), [BATCHES[0], BATCHES[1], BATCHES[2], BATCHES[1]]);
    assert.deepEqual(
      outcomes(story).map(([outcome]) => outcome),
      ['sent', 'unknown', 'sent', 'sent'],
    );
  });

  it('may have been suppressed in part since: the batches are made of the others', async () => {
    await db.query(
      `insert into email_suppressions (user_id, email, reason)
       select 'thinned', 'to' || n || '@example.com', 'manual' from generate_series(1, 30) n`,
    );
    const id = await store({ userId: 'thinned', recipients: RECIPIENTS });
    await until(id, 'sent');
    assert.deepEqual(received(id), [RECIPIENTS.slice(30, 80), RECIPIENTS.slice(80)]);
  });
});

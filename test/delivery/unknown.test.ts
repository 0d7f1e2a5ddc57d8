import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { resolveHeld } from '../../src/store/emails/actions.ts';
import { findEmail } from '../../src/store/emails/show.ts';
import { ses as notifications } from '../events/support/ses.ts';
import { eventually } from '../support/eventually.ts';
import type { ReceivedMessage } from '../support/ses/mailbox.ts';
import { addresses, type Sending, type Story, startSending } from './support/sending.ts';

/** The connection breaks when SES has the message. */
const LOST = { kind: 'drop-after' } as const;

const retrying = await startSending({ after }, { 'retries.firstPause': 3_600_000, 'retries.longestPause': 3_600_000 });
const holding = await startSending({ after }, { onUnknownOutcome: 'hold', 'worker.consumers': 1 });

function outcomes({ attempts }: Story): string[] {
  return attempts.map(({ outcome }) => outcome);
}

async function afterAttempts({ story }: Sending, id: string, count: number): Promise<Story> {
  return eventually(async () => {
    const now = await story(id);
    return now.attempts.length >= count ? now : null;
  }) as Promise<Story>;
}

async function untilHeld({ story }: Sending, id: string): Promise<Story> {
  return eventually(async () => {
    const now = await story(id);
    return now.claim?.state === 'held' ? now : null;
  }) as Promise<Story>;
}

function takenBy({ ses }: Sending, id: string): ReceivedMessage {
  const message = ses.mailbox.messages.find(({ tags }) => tags['smtp-relay-email-id'] === id);
  assert.ok(message);
  return message;
}

function about(sending: Sending, id: string, destination: readonly string[] = ['to@example.com']) {
  return { emailId: id, messageId: takenBy(sending, id).messageId, destination };
}

describe('an unknown outcome with `retry`', () => {
  it('is tried again; the duplicate is explained by the attempt', async t => {
    const sending = await startSending(t);
    sending.ses.faults.plan(LOST);
    const id = await sending.store();
    const story = await sending.until(id, 'sent');
    assert.deepEqual(outcomes(story), ['unknown', 'sent']);
    assert.equal(sending.received(id).length, 2);
  });

  it('is settled by an event of SES, without another call and without the pause', async () => {
    retrying.ses.faults.plan(LOST);
    const id = await retrying.store();
    assert.equal((await afterAttempts(retrying, id, 1)).row.status, 'queued');
    await retrying.tell(notifications.delivery(about(retrying, id)));
    const story = await retrying.until(id, 'delivered');
    assert.deepEqual(outcomes(story), ['unknown', 'sent']);
    assert.equal(retrying.received(id).length, 1);
    assert.ok(story.row['sent_at']);
  });

  it('is settled by a complaint, which a late delivery does not overwrite', async () => {
    retrying.ses.faults.plan(LOST);
    const id = await retrying.store();
    await afterAttempts(retrying, id, 1);
    await retrying.tell(notifications.complaint(about(retrying, id)));
    await retrying.until(id, 'complained');
    await retrying.tell(notifications.delivery(about(retrying, id)));
    assert.equal((await retrying.story(id)).row.status, 'complained');
    assert.equal(retrying.received(id).length, 1);
  });
});

describe('an unknown outcome with `hold`', () => {
  async function hold(recipients?: readonly string[]): Promise<string> {
    holding.ses.faults.plan(LOST);
    const id = await holding.store(recipients ? { recipients } : {});
    await untilHeld(holding, id);
    assert.equal((await findEmail(holding.db, id))?.status, 'processing');
    return id;
  }

  it('is held: processing, and not sent, until a person says that it was', async () => {
    const id = await hold();
    await resolveHeld(holding.db, id, 'sent');
    const story = await holding.until(id, 'sent');
    assert.deepEqual(outcomes(story), ['unknown', 'sent']);
    assert.equal(holding.received(id).length, 1);
  });

  it('is sent again when a person says so', async () => {
    const id = await hold();
    await resolveHeld(holding.db, id, 'retry');
    await holding.until(id, 'sent');
    assert.equal(holding.received(id).length, 2);
  });

  it('is settled by an event of SES, without another call', async () => {
    const id = await hold();
    await holding.tell(notifications.send(about(holding, id)));
    await holding.until(id, 'sent');
    assert.equal(holding.received(id).length, 1);
  });

  it('is settled by an event that came while the call was under way', async () => {
    const told = Promise.withResolvers<void>();
    holding.ses.faults.plan({ ...LOST, until: told.promise });
    const id = await holding.store();
    await eventually(async () => (await holding.story(id)).claim?.state === 'sending');
    await holding.tell(notifications.delivery({ emailId: id, destination: ['to@example.com'] }));
    told.resolve();
    const story = await holding.until(id, 'delivered');
    assert.equal(story.claim, null);
    assert.equal(holding.received(id).length, 1);
  });

  it('stays so for the recipients that the event does not name', async () => {
    const id = await hold(['a@example.com', 'b@example.com']);
    await holding.tell(notifications.delivery(about(holding, id, ['a@example.com'])));
    assert.equal((await holding.story(id)).claim?.state, 'held');
    await resolveHeld(holding.db, id, 'retry');
    await holding.until(id, 'delivered');
    assert.deepEqual(holding.received(id), [['a@example.com', 'b@example.com'], ['b@example.com']]);
  });

  it('keeps what is held from nobody else', async () => {
    const id = await holding.store({ recipients: ['a@example.com'] });
    await holding.until(id, 'sent');
  });
});

describe('events that arrive while the worker settles', () => {
  const MESSAGES = 150;

  for (const [kind, status] of [
    ['delivery', 'delivered'],
    ['complaint', 'complained'],
  ] as const) {
    it(`are not lost: ${kind}`, async t => {
      const sending = await startSending(t);
      const { ses, tell, db } = sending;
      // A complaint suppresses its recipient, so each has one of its own.
      const ids = await Promise.all(addresses(MESSAGES).map(address => sending.store({ recipients: [address] })));
      const told = new Set<string>();
      const tellings: Promise<void>[] = [];
      // As soon as SES has a message, and in the middle of what the worker does about it.
      await eventually(() => {
        for (const { messageId, tags, recipients: destination } of ses.mailbox.messages) {
          const emailId = tags['smtp-relay-email-id'] ?? '';
          if (told.has(emailId)) continue;
          told.add(emailId);
          tellings.push(tell(notifications[kind]({ emailId, messageId, destination })));
        }
        return told.size === MESSAGES;
      });
      await Promise.all(tellings);
      await eventually(async () => {
        const { rows } = await db.query('select status, count(*)::integer from emails where id = any($1) group by 1', [
          ids,
        ]);
        assert.deepEqual(rows, [{ status, count: MESSAGES }]);
        return true;
      });
      assert.equal(ses.mailbox.count, MESSAGES);
      assert.equal((await db.query('select from smtp_relay_claims')).rowCount, 0);
    });
  }
});

import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startSending } from './support/sending.ts';

// No next try comes by itself while a test looks at what is before it.
const PAUSES = { 'retries.firstPause': 3_600_000, 'retries.longestPause': 3_600_000 };
const sending = await startSending({ after }, { failureNotices: 'on', ...PAUSES });
const { ses, db, store, until, makeDue, received } = sending;

const rejected = { kind: 'error', status: 400, name: 'MessageRejected', message: 'Email is contaminated.' } as const;
const domainIncomplete = { kind: 'error', status: 400, name: 'MailFromDomainNotVerifiedException' } as const;

/** The notices of that owner's messages, once they are sent, so that no fault of the next test meets them. */
async function noticesOf(userId: string, { db, until } = sending): Promise<{ to: string[]; reverse_path: string }[]> {
  const sql = `select e.id, e."to", m.reverse_path from emails e join smtp_relay_messages m on m.email_id = e.id
                where e.user_id = $1 and e.subject = 'Message not delivered'`;
  const { rows } = await db.query<{ id: string; to: string[]; reverse_path: string }>(sql, [userId]);
  for (const { id } of rows) await until(id, 'sent');
  return rows.map(({ id: _, ...notice }) => notice);
}

describe('a message whose transport', () => {
  it('takes it: sent, with an event, and nothing in provider_last_error', async () => {
    const id = await store();
    const { row, attempts, events, claim } = await until(id, 'sent');
    assert.ok(row['sent_at']);
    assert.ok(row['provider_last_attempted_at']);
    assert.equal(row['provider_last_error_code'], null);
    assert.deepEqual(
      attempts.map(({ outcome, transport }) => [outcome, transport]),
      [['sent', 'ses']],
    );
    assert.deepEqual(
      events.map(({ type }) => type),
      ['sent'],
    );
    assert.equal(claim, null);
  });

  for (const [name, fault, code] of [
    ['throttles', { kind: 'throttle' }, 'TooManyRequestsException'],
    ['has a fault of its own', { kind: 'error', status: 503, name: 'ServiceUnavailable' }, 'ServiceUnavailable'],
  ] as const) {
    it(`${name}: it is queued again, says why, and is sent later`, async () => {
      ses.faults.plan({ ...fault });
      const id = await store();
      const waiting = await eventually(async () => {
        const { row } = await sending.story(id);
        assert.ok(row['provider_next_retry_at']);
        return row;
      });
      assert.equal(waiting.status, 'queued');
      assert.equal(waiting['provider_retry_count'], 1);
      assert.equal(waiting['provider_last_error_code'], code);
      assert.equal(waiting['provider_dead_lettered_at'], null);
      assert.equal(waiting['sent_at'], null);
      await makeDue(id);
      const { row, attempts, events } = await until(id, 'sent');
      assert.equal(row['provider_next_retry_at'], null);
      assert.deepEqual(
        events.map(({ type }) => type),
        ['delayed', 'sent'],
      );
      assert.deepEqual(events[0]?.payload['recipients'], ['to@example.com']);
      const delayed = { ...(events[0]?.payload['delayed'] as object) } as Record<string, unknown>;
      assert.partialDeepStrictEqual(delayed, { code, attempt: 1 });
      const next = String(delayed['next_attempt_at']);
      const due = (waiting['provider_next_retry_at'] as Date).getTime();
      assert.ok(Math.abs(Date.parse(next) - due) < 2_000, `${next} is not when the next try was due`);
      assert.deepEqual(
        attempts.map(({ try: nth, outcome }) => [nth, outcome]),
        [
          [0, 'transient'],
          [1, 'sent'],
        ],
      );
      assert.equal(received(id).length, 1);
    });
  }

  it('throttles again and again: one event an hour tells of it', async () => {
    ses.faults.plan({ kind: 'throttle', times: 3 });
    const id = await store({ userId: 'throttled' });
    for (const count of [1, 2, 3]) {
      await eventually(async () => (await sending.story(id)).row['provider_retry_count'] === count);
      await makeDue(id);
    }
    const { attempts, events } = await until(id, 'sent');
    assert.equal(attempts.length, 4);
    assert.deepEqual(
      events.map(({ type }) => type),
      ['delayed', 'sent'],
    );
  });

  it('refuses it for good: failed at once, event, due webhook delivery and notice by one commit', async () => {
    const { rows: webhooks } = await db.query(
      `insert into webhooks (url, event_types, user_id) values ('https://127.0.0.1:1/', '["email.failed"]', 'refused') returning id`,
    );
    ses.faults.plan(rejected);
    const id = await store({ userId: 'refused' });
    const { row, attempts, events } = await until(id, 'failed');
    assert.equal(row['provider_last_error_code'], 'MessageRejected');
    assert.equal(row['provider_dead_lettered_at'], null, 'it did not run out of tries');
    assert.equal(row['sent_at'], null);
    assert.deepEqual(
      attempts.map(({ outcome }) => outcome),
      ['permanent'],
    );
    const [event, ...others] = events;
    assert.deepEqual(others, []);
    assert.equal(event?.type, 'failed');
    assert.deepEqual(event.payload['recipients'], ['to@example.com']);
    const { rows } = await db.query(
      `select d.webhook_id, d.xmin::text = e.xmin::text as together, n.xmin::text = e.xmin::text as noticed
         from email_events e join webhook_deliveries d on d.event_id = e.id,
              lateral (select xmin from smtp_relay_messages where email_id in
                (select id from emails where user_id = 'refused' and id <> e.email_id)) n
        where e.email_id = $1`,
      [id],
    );
    assert.equal(rows.length, 1);
    assert.equal(rows[0].webhook_id, webhooks[0].id);
    assert.equal(rows[0].noticed, true);
    assert.deepEqual(await noticesOf('refused'), [{ to: ['bounces@acme.test'], reverse_path: '' }]);
    assert.ok(ses.mailbox.messages.some(({ recipients }) => recipients.includes('bounces@acme.test')));
  });

  it('refuses a message with the null reverse-path: nobody is written to', async () => {
    ses.faults.plan(rejected);
    const id = await store({ userId: 'null-path', reversePath: '' });
    await until(id, 'failed');
    assert.deepEqual(await noticesOf('null-path'), []);
  });

  it('fails for as long as it is tried: failed and dead-lettered, with one event and one notice', async t => {
    const limited = await startSending(t, { failureNotices: 'on', 'retries.limit': 3_000 });
    // About the sender's domain: the limit stands still for what is wrong with the whole way out.
    limited.ses.faults.plan({ ...domainIncomplete, forMs: 3_600_000 });
    const id = await limited.store({ userId: 'limit' });
    const { row, attempts, events } = await limited.until(id, 'failed');
    limited.ses.faults.clear();
    assert.ok(row['provider_dead_lettered_at']);
    assert.equal(row['provider_next_retry_at'], null);
    assert.ok(attempts.length > 1 && attempts.every(({ outcome }) => outcome === 'transient'));
    assert.deepEqual(
      events.map(({ type }) => type),
      [...attempts.slice(1).map(() => 'delayed'), 'failed'],
      'each try but the last is to be followed by another',
    );
    assert.equal((await noticesOf('limit', limited)).length, 1);
    assert.equal((await limited.db.query('select from smtp_relay_outbox where email_id = $1', [id])).rowCount, 0);
  });

  it('answers what Postgres cannot store: the outcome is written all the same', async () => {
    const message = `bad \0 ${'x'.repeat(490)}${'\u{1F4A9}'.repeat(20)}`;
    ses.faults.plan({ ...rejected, message });
    const id = await store({ userId: 'unstorable' });
    const { attempts, events } = await until(id, 'failed');
    assert.equal(attempts.length, 1);
    assert.equal(events.length, 1);
    assert.equal((await noticesOf('unstorable')).length, 1);
  });
});

describe('recipients', () => {
  it('that came onto the list between two tries are left out of the second', async () => {
    ses.faults.plan({ kind: 'error', status: 500, name: 'InternalFailure' });
    const id = await store({ userId: 'listed', recipients: ['a@example.com', 'B@example.com'] });
    await eventually(async () => (await sending.story(id)).attempts.length === 1);
    await db.query(
      "insert into email_suppressions (user_id, email, reason) values ('listed', 'b@example.com', 'bounced')",
    );
    await makeDue(id);
    const { events, attempts } = await until(id, 'sent');
    assert.deepEqual(received(id), [['a@example.com']]);
    assert.deepEqual(events.map(({ type, payload }) => [type, payload['recipients']]).sort(), [
      ['delayed', ['a@example.com', 'B@example.com']],
      ['sent', ['a@example.com']],
      ['suppressed', ['B@example.com']],
    ]);
    assert.deepEqual(attempts.map(({ outcome }) => outcome).sort(), ['sent', 'suppressed', 'transient']);
  });

  it('of another owner are none of its business', async () => {
    await db.query(
      "insert into email_suppressions (user_id, email, reason) values ('one', 'x@example.com', 'bounced')",
    );
    const id = await store({ userId: 'other', recipients: ['x@example.com'] });
    await until(id, 'sent');
    assert.deepEqual(received(id), [['x@example.com']]);
  });
});

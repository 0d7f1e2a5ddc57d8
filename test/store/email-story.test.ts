import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { cancelEmail, resendEmail, resolveHeld } from '../../src/store/emails/actions.ts';
import { resolveEmailId } from '../../src/store/emails/find.ts';
import { listEmails } from '../../src/store/emails/list.ts';
import { readEmailStory } from '../../src/store/emails/show.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { type StoredOptions, storeMessage } from '../support/stored.ts';

async function start(t: TestContext) {
  const pool = openPool(await createDatabase(t), 4);
  t.after(() => pool.end());
  return {
    pool,
    store: (options: StoredOptions = {}) => storeMessage(pool, options),
    async attempt(id: string, outcome: string, recipients: string[], providerId: string | null = null): Promise<void> {
      await pool.query(
        `insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, provider_message_id, started_at)
         values ($1, 0, 'ses', $2, $3, $4, now())`,
        [id, JSON.stringify(recipients), outcome, providerId],
      );
    },
    async status(id: string, status: string): Promise<void> {
      await pool.query('update emails set status = $2 where id = $1', [id, status]);
    },
    async rows(sql: string, id: string): Promise<Record<string, unknown>[]> {
      return (await pool.query(sql, [id])).rows.map(row => ({ ...row }));
    },
  };
}

const ATTEMPTS = `
  select try, transport, recipients, outcome, code from smtp_relay_attempts where email_id = $1 order by id`;

describe('finding a message', { concurrency: true }, () => {
  it("takes our id, the client's Message-ID and the provider's, with or without angle brackets", async t => {
    const { pool, store, attempt } = await start(t);
    await store({ messageId: 'other@acme.test' });
    const id = await store({ messageId: 'One.2@acme.test' });
    await attempt(id, 'sent', ['to@example.com'], '0100019abc-1234-000000');
    for (const text of [
      id,
      id.toUpperCase(),
      'One.2@acme.test',
      ' <One.2@acme.test> ',
      '0100019abc-1234-000000',
      '<0100019abc-1234-000000@email.amazonses.com>',
      '0100019abc-1234-000000@eu-west-1.amazonses.com',
      `<${id}@acme.test>`,
    ]) {
      assert.equal(await resolveEmailId(pool, text), id, text);
    }
    for (const text of ['', 'one.2@acme.test', '00000000-0000-4000-8000-000000000000', '<>']) {
      await assert.rejects(resolveEmailId(pool, text), { code: 'not-found' }, text);
    }
  });

  it('finds by the stored header what is not kept as it was received', async t => {
    const { pool } = await start(t);
    const insert = `insert into emails ("from", "to", subject, headers) values ('a@acme.test', '[]', '', $1) returning id`;
    for (const name of ['Message-ID', 'Message-Id', 'message-id']) {
      const value = `<${name}@acme.test>`;
      const { rows } = await pool.query(insert, [JSON.stringify({ [name]: value })]);
      assert.equal(await resolveEmailId(pool, value), rows[0].id);
      assert.equal((await readEmailStory(pool, rows[0].id)).messageId, `${name}@acme.test`);
    }
  });

  it('finds by a table of our own what OpenSend has, and not what it has deleted', async t => {
    const { pool } = await start(t);
    const id = randomUUID();
    const insert = `insert into emails (id, "from", "to", subject) values ($1, 'a@acme.test', '[]', '')`;
    await pool.query(insert, [id]);
    const remember = 'insert into smtp_relay_message_ids (email_id, message_id) values ($1, $2)';
    await pool.query(remember, [id, 'Kept.1@acme.test']);
    await pool.query(remember, [randomUUID(), 'Kept.1@acme.test']);
    assert.equal(await resolveEmailId(pool, '<Kept.1@acme.test>'), id);
    assert.equal((await readEmailStory(pool, id)).messageId, 'Kept.1@acme.test');
    const listed = async (messageId: string) => (await listEmails(pool, { messageId, limit: 50 })).map(row => row.id);
    assert.deepEqual(await listed(' <Kept.1@acme.test> '), [id]);
    assert.deepEqual(await listed('kept.1@acme.test'), []);
  });

  it('names them all where several have the same Message-ID', async t => {
    const { pool, store } = await start(t);
    const ids = [await store({ recipients: ['b@example.com'] }), await store({ recipients: ['c@example.com'] })];
    await assert.rejects(resolveEmailId(pool, '<1@acme.test>'), (error: Error & { code: string }) => {
      assert.equal(error.code, 'ambiguous');
      for (const text of [...ids, 'b@example.com', 'c@example.com']) assert.ok(error.message.includes(text), text);
      return true;
    });
  });
});

describe('the story of a message', { concurrency: true }, () => {
  it('has the row, attempts, claim, events and deliveries, and jobs that are not published', async t => {
    const { pool, store, attempt } = await start(t);
    const id = await store({ recipients: ['b@example.com', 'c@example.com'] });
    await attempt(id, 'sent', ['b@example.com'], '0100');
    await attempt(id, 'transient', ['c@example.com']);
    await pool.query(
      `insert into smtp_relay_claims (email_id, worker, token, state, try, until, in_flight)
       values ($1, 'worker-1', gen_random_uuid(), 'sending', 1, now() + interval '1 min', '["c@example.com"]')`,
      [id],
    );
    await pool.query(
      `with hook as (
         insert into webhooks (url, event_types, user_id) values ('https://hook.example/x', '["email.sent"]', 'acme') returning id
       ), event as (
         insert into email_events (email_id, type, payload, user_id)
         values ($1, 'sent', '{"recipients": ["b@example.com"]}', 'acme') returning id
       )
       insert into webhook_deliveries (webhook_id, event_id, attempt, status, status_code, attempted_at, next_retry_at)
       select hook.id, event.id, 1, 'failed', 503, now(), now() + interval '5 min' from hook, event`,
      [id],
    );
    const story = await readEmailStory(pool, id);
    assert.equal(story.messageId, '1@acme.test');
    assert.equal(story.outbox.length, 1);
    assert.deepEqual(
      story.attempts.map(({ outcome, recipients, providerMessageId }) => [outcome, recipients, providerMessageId]),
      [
        ['sent', ['b@example.com'], '0100'],
        ['transient', ['c@example.com'], null],
      ],
    );
    assert.deepEqual(
      [story.claim?.worker, story.claim?.state, story.claim?.inFlight],
      ['worker-1', 'sending', ['c@example.com']],
    );
    assert.deepEqual(
      story.events.map(({ type }) => type),
      ['sent'],
    );
    assert.deepEqual(
      story.deliveries.map(({ url, eventType, status, statusCode, attempts }) => [
        url,
        eventType,
        status,
        statusCode,
        attempts,
      ]),
      [['https://hook.example/x', 'sent', 'failed', 503, 1]],
    );
  });
});

describe('sending a message again', { concurrency: true }, () => {
  it('makes a new one of the same bytes, with a job, and leaves the history as it was', async t => {
    const { pool, store, attempt, status, rows } = await start(t);
    const id = await store({
      raw: 'Subject: Hello\r\n\r\nHi\r\n',
      recipients: ['b@example.com'],
      tags: [{ name: 'a', value: 'b' }],
    });
    await pool.query('delete from smtp_relay_outbox');
    await attempt(id, 'permanent', ['b@example.com']);
    await status(id, 'failed');
    const before = await readEmailStory(pool, id);
    const copy = await resendEmail(pool, id, { failedOnly: false, twice: false });
    assert.notEqual(copy.id, id);
    assert.deepEqual([copy.resendOf, copy.recipients], [id, ['b@example.com']]);
    const story = await readEmailStory(pool, copy.id);
    assert.deepEqual(
      [story.status, story.owner, story.subject, story.to, story.tags, story.messageId, story.resendOf, story.attempts],
      ['queued', 'acme', 'Hello', ['b@example.com'], [{ name: 'a', value: 'b' }], '1@acme.test', id, []],
    );
    assert.equal(story.outbox.length, 1);
    const raw = await rows(
      `select encode(raw, 'escape') as raw, size_bytes as size from smtp_relay_messages where email_id = $1`,
      copy.id,
    );
    assert.deepEqual(raw, [{ raw: 'Subject: Hello\r\n\r\nHi\r\n', size: 22 }]);
    assert.deepEqual(await readEmailStory(pool, id), { ...before, resentAs: [copy.id] });
  });

  it('never to somebody who has had it, unless told to', async t => {
    const { pool, store, attempt, status } = await start(t);
    const recipients = ['b@example.com', 'c@example.com', 'd@example.com'];
    const id = await store({ recipients });
    await attempt(id, 'sent', ['b@example.com']);
    await attempt(id, 'permanent', ['c@example.com']);
    await status(id, 'failed');
    await assert.rejects(resendEmail(pool, id, { failedOnly: false, twice: false }), {
      code: 'conflict',
      message: /b@example\.com; add --failed-only/,
    });
    const rest = await resendEmail(pool, id, { failedOnly: true, twice: false });
    assert.deepEqual(rest.recipients, ['c@example.com', 'd@example.com']);
    const story = await readEmailStory(pool, rest.id);
    assert.deepEqual([story.to, story.raw?.recipients], [rest.recipients, rest.recipients]);
    assert.deepEqual((await resendEmail(pool, id, { failedOnly: false, twice: true })).recipients, recipients);
  });

  it('takes the status for it where attempts are not kept', async t => {
    const { pool, store, status } = await start(t);
    const id = await store();
    await status(id, 'delivered');
    await assert.rejects(resendEmail(pool, id, { failedOnly: true, twice: false }), /sent to every recipient/);
    await assert.rejects(resendEmail(pool, id, { failedOnly: false, twice: false }), /have had it/);
  });

  it('not before it is done, and not when its bytes are gone', async t => {
    const { pool, store, status } = await start(t);
    const id = await store();
    for (const open of ['queued', 'processing', 'scheduled']) {
      await status(id, open);
      await assert.rejects(resendEmail(pool, id, { failedOnly: false, twice: true }), {
        code: 'conflict',
        message: `it cannot be sent again before it is done: its status is ${open}`,
      });
    }
    await status(id, 'failed');
    await pool.query('delete from smtp_relay_messages');
    await assert.rejects(resendEmail(pool, id, { failedOnly: false, twice: true }), /not kept as it was received/);
  });
});

describe('cancelling a message', { concurrency: true }, () => {
  it('takes a queued one and its jobs away', async t => {
    const { pool, store, attempt, rows } = await start(t);
    const id = await store();
    const other = await store();
    await attempt(id, 'sent', ['b@example.com']);
    assert.deepEqual(await cancelEmail(pool, id), { id, sentTo: ['b@example.com'] });
    assert.deepEqual(await rows('select status from emails where id = $1', id), [{ status: 'canceled' }]);
    const { rows: jobs } = await pool.query('select email_id from smtp_relay_outbox');
    assert.deepEqual(jobs, [{ email_id: other }]);
  });

  it('refuses one that is not queued, and says why', async t => {
    const { pool, store, status, rows } = await start(t);
    const id = await store();
    await status(id, 'sent');
    await assert.rejects(cancelEmail(pool, id), { code: 'conflict', message: /its status is sent$/ });
    await status(id, 'processing');
    const claim = (state: string) =>
      pool.query(
        `insert into smtp_relay_claims (email_id, worker, token, state, try, until)
         values ($1, 'worker-1', gen_random_uuid(), $2, 0, 'infinity') on conflict (email_id) do update set state = $2`,
        [id, state],
      );
    await claim('sending');
    await assert.rejects(cancelEmail(pool, id), /worker worker-1 is sending it just now$/);
    await claim('held');
    await assert.rejects(cancelEmail(pool, id), /it is held; see: smtp-relay emails resolve/);
    assert.deepEqual(await rows('select status from emails where id = $1', id), [{ status: 'processing' }]);
    assert.equal((await pool.query('select from smtp_relay_outbox')).rowCount, 1);
  });
});

describe('resolving a message that is held', { concurrency: true }, () => {
  async function held(t: TestContext) {
    const started = await start(t);
    const recipients = ['a@x.example', 'b@x.example', 'c@x.example', 'd@x.example'];
    const id = await started.store({ recipients });
    await started.status(id, 'processing');
    await started.attempt(id, 'sent', ['a@x.example']);
    await started.attempt(id, 'unknown', ['b@x.example', 'c@x.example', 'd@x.example']);
    await started.attempt(id, 'sent', ['c@x.example']);
    await started.attempt(id, 'transient', ['d@x.example']);
    await started.pool.query(
      `insert into smtp_relay_claims (email_id, worker, token, state, try, until) values ($1, 'w', gen_random_uuid(), 'held', 3, 'infinity')`,
      [id],
    );
    return { ...started, id };
  }
  const CLAIM = 'select state, in_flight, until <= now() as due from smtp_relay_claims where email_id = $1';

  for (const [verdict, outcome, code] of [
    ['sent', 'sent', 'resolved'],
    ['retry', 'transient', 'resolved-retry'],
  ] as const) {
    it(`--${verdict} settles those in doubt, and lets a worker go on`, async t => {
      const { pool, id, rows } = await held(t);
      assert.deepEqual(await resolveHeld(pool, id, verdict), { id, verdict, recipients: ['b@x.example'] });
      assert.deepEqual((await rows(ATTEMPTS, id)).at(-1), {
        try: 3,
        transport: 'ses',
        recipients: ['b@x.example'],
        outcome,
        code,
      });
      assert.deepEqual(await rows(CLAIM, id), [{ state: 'claimed', in_flight: null, due: true }]);
      await assert.rejects(resolveHeld(pool, id, verdict), {
        code: 'conflict',
        message: /not held: its status is processing/,
      });
      assert.equal((await rows(ATTEMPTS, id)).length, 5);
    });
  }

  it('lets go of one that an event has settled meanwhile', async t => {
    const { pool, id, rows, attempt } = await held(t);
    await attempt(id, 'sent', ['b@x.example']);
    assert.deepEqual((await resolveHeld(pool, id, 'retry')).recipients, []);
    assert.equal((await rows(ATTEMPTS, id)).length, 5);
    assert.deepEqual(await rows(CLAIM, id), [{ state: 'claimed', in_flight: null, due: true }]);
  });
});

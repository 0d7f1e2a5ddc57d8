import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { storeMessage } from '../support/stored.ts';
import { runInProcess } from './run-cli.ts';

async function start(t: TestContext) {
  const url = await createDatabase(t);
  const pool = openPool(url, 2);
  t.after(() => pool.end());
  const run = (...args: string[]) => runInProcess(['emails', ...args], { DATABASE_URL: url });
  return {
    pool,
    run,
    async json(...args: string[]) {
      const { code, stdout, stderr } = await run(...args, '--json');
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout);
    },
  };
}

/** A message to two that went out to one, bounced there, was told to a webhook, and is still tried for the other. */
const STORY = `
  with email as (
    update emails
       set created_at = '2026-11-23T10:00:00Z', sent_at = '2026-11-23T10:00:01Z', provider_retry_count = 1,
           provider_next_retry_at = '2026-11-23T10:05:00Z', provider_last_error_code = '451'
     where id = $1 returning id
  ), attempts as (
    insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, code, message, provider_message_id, started_at, ended_at)
    select id, 0, 'ses', '["b@example.com"]'::jsonb, 'sent', null, null, '0100-abc', '2026-11-23T10:00:00.9Z'::timestamptz, '2026-11-23T10:00:01Z'::timestamptz from email
    union all
    select id, 0, 'ses', '["c@example.com"]', 'transient', '451', 'come back' || chr(10) || 'later', null, '2026-11-23T10:00:01Z', '2026-11-23T10:00:02Z' from email
  ), event as (
    insert into email_events (email_id, type, payload, user_id, received_at)
    select id, 'bounced', '{"recipients": ["b@example.com"], "bounce": {"type": "Permanent", "message": "no such user"}}', 'acme',
           '2026-11-23T10:00:03Z'::timestamptz from email
    returning id
  ), hook as (
    insert into webhooks (url, event_types, user_id) values ('https://hook.example/x', '["email.bounced"]', 'acme') returning id
  )
  insert into webhook_deliveries (webhook_id, event_id, attempt, status, status_code, created_at, attempted_at, next_retry_at)
  select hook.id, event.id, 1, 'failed', 503, '2026-11-23T10:00:03Z', '2026-11-23T10:00:04Z', '2026-11-23T10:00:09Z'
    from hook, event`;

describe('smtp-relay emails show', { concurrency: true }, () => {
  it('tells what happened in the order of time, and what is still to come', async t => {
    const { pool, run } = await start(t);
    const id = await storeMessage(pool, { recipients: ['b@example.com', 'c@example.com'] });
    await pool.query(STORY, [id]);
    const { code, stdout } = await run('show', id);
    assert.equal(code, 0);
    assert.match(stdout, /^Message-ID: +<1@acme\.test>$/m);
    const [, story = ''] = stdout.split('What happened:\n');
    assert.equal(
      story,
      [
        '  2026-11-23T10:00:00.000Z  accepted        from <bounces@acme.test> for b@example.com, c@example.com',
        '  2026-11-23T10:00:01.000Z  handed over     try 1 by ses, 100 ms: b@example.com as 0100-abc',
        '  2026-11-23T10:00:02.000Z  failed for now  try 1 by ses, 1000 ms: c@example.com (451 come back later)',
        '  2026-11-23T10:00:03.000Z  event bounced   b@example.com (Permanent no such user)',
        '  2026-11-23T10:00:04.000Z  webhook         bounced to https://hook.example/x: answer 503, attempt 1, failed',
        '',
        'Now:',
        ...(/Now:\n( {2}its job is not published, due .*, 0 attempts)\n/.exec(story)?.slice(1) ?? ['no job']),
        '  next try at 2026-11-23T10:05:00.000Z',
        '  webhook bounced to https://hook.example/x is still to be delivered, due 2026-11-23T10:00:09.000Z',
        '',
        'Hi',
        '',
      ].join('\n'),
    );
  });

  it('finds it by Message-ID and by the id of the provider', async t => {
    const { pool, run, json } = await start(t);
    const id = await storeMessage(pool, { messageId: 'one@acme.test' });
    await pool.query(STORY, [id]);
    for (const text of ['<one@acme.test>', 'one@acme.test', '0100-abc', '<0100-abc@email.amazonses.com>']) {
      assert.equal((await json('show', text)).id, id, text);
    }
    await storeMessage(pool, { messageId: 'one@acme.test' });
    const several = await run('show', 'one@acme.test');
    assert.deepEqual([several.code, several.stdout], [1, '']);
    assert.match(
      several.stderr,
      /^smtp-relay: several messages have the id "one@acme\.test"; name one:\n {2}[0-9a-f-]{36} {2}20/,
    );
  });

  it('says who has it', async t => {
    const { pool, run } = await start(t);
    const id = await storeMessage(pool);
    const claim = `
      insert into smtp_relay_claims (email_id, worker, token, state, try, until, in_flight)
      values ($1, 'worker-1', gen_random_uuid(), $2, 0, $3, $4)
      on conflict (email_id) do update set state = $2, until = $3, in_flight = $4`;
    await pool.query(claim, [id, 'sending', '2026-11-23T10:01:00Z', '["to@example.com"]']);
    const sending = /worker worker-1 has it \(sending to to@example\.com\) until 2026-11-23T10:01:00\.000Z/;
    assert.match((await run('show', id)).stdout, sending);
    await pool.query(claim, [id, 'held', 'infinity', null]);
    assert.match(
      (await run('show', id)).stdout,
      /held: nobody knows whether it was sent; say so with: smtp-relay emails resolve/,
    );
  });
});

describe('what can be done about a message', { concurrency: true }, () => {
  it('resend makes a copy, says to whom, and asks before somebody has it twice', async t => {
    const { pool, run, json } = await start(t);
    const id = await storeMessage(pool, { recipients: ['b@example.com', 'c@example.com'] });
    await pool.query(STORY, [id]);
    assert.match((await run('resend', id)).stderr, /before it is done: its status is queued\n$/);
    await pool.query(`update emails set status = 'failed' where id = $1`, [id]);
    const asked = await run('resend', id);
    assert.equal(asked.code, 1);
    assert.match(asked.stderr, /second time: b@example\.com; add --failed-only to leave them out, or --yes\n$/);
    const rest = await run('resend', id, '--failed-only');
    const [, copy = ''] = /^Queued again as ([0-9a-f-]{36}), to c@example\.com\.\n$/.exec(rest.stdout) ?? [];
    assert.match((await run('show', copy)).stdout, new RegExp(`^Copy of: +${id}$`, 'm'));
    assert.match((await run('show', id)).stdout, new RegExp(`^Sent again as: +${copy}$`, 'm'));
    assert.deepEqual((await json('resend', id, '--yes')).recipients, ['b@example.com', 'c@example.com']);
    assert.equal((await run('resend', id, '--yes', '--failed-only')).code, 2);
  });

  it('cancel takes a queued message away, and says who has had it', async t => {
    const { pool, run, json } = await start(t);
    const id = await storeMessage(pool, { recipients: ['b@example.com', 'c@example.com'] });
    await pool.query(STORY, [id]);
    const done = await run('cancel', id);
    assert.deepEqual(
      [done.code, done.stdout, done.stderr],
      [0, `${id} is canceled.\n`, 'These have had it already: b@example.com.\n'],
    );
    assert.deepEqual([(await json('show', id)).status, (await json('show', id)).outbox], ['canceled', []]);
    const again = await run('cancel', id);
    assert.deepEqual([again.code, again.stderr], [1, 'smtp-relay: it cannot be cancelled: its status is canceled\n']);
    assert.equal((await run('cancel', '00000000-0000-4000-8000-000000000000')).code, 1);
  });

  it('resolve wants to know which', async t => {
    const { pool, run } = await start(t);
    const id = await storeMessage(pool);
    assert.equal((await run('resolve', id)).code, 2);
    assert.equal((await run('resolve', id, '--sent', '--retry')).code, 2);
    assert.match((await run('resolve', id, '--sent')).stderr, /it is not held: its status is queued\n$/);
    await pool.query(
      `with attempt as (
         insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, started_at)
         values ($1, 0, 'ses', '["to@example.com"]', 'unknown', now()))
       insert into smtp_relay_claims (email_id, worker, token, state, try, until) values ($1, 'w', gen_random_uuid(), 'held', 0, 'infinity')`,
      [id],
    );
    const done = await run('resolve', id, '--sent');
    assert.deepEqual([done.code, done.stdout], [0, `${id} counts as sent, to to@example.com.\n`]);
    assert.match(
      (await run('show', id)).stdout,
      /handed over {2,}try 1 by ses, 0 ms: to@example\.com \(resolved an operator says that it was sent\)/,
    );
  });
});

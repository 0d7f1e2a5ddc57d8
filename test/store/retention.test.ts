import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { endTurn, takeTurn } from '../../src/postgres/lease.ts';
import { applyRetention, type RetentionBatch, type RetentionPeriods } from '../../src/store/retention/retention.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';

const DAY = 86_400_000;
const FOREVER = Number.POSITIVE_INFINITY;
const KEEP_ALL: RetentionPeriods = { raw: FOREVER, bodies: FOREVER, events: FOREVER, deliveries: FOREVER };

/** One message with everything that may be kept of it. $1 its status, $2 its age in days. */
const MESSAGE = `
  with email as (
    insert into emails ("from", "to", subject, html, text, attachments, status, user_id, created_at)
    values ('a@acme.test', '["b@example.com"]', 'Hello', '<p>Hi', 'Hi', '[{"filename": "a"}]', $1, $3, now() - $2 * interval '1 day')
    returning id, created_at, user_id
  ), raw as (
    insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, created_at)
    select id, 'Hi', '', 2, '', '[]', created_at from email
  ), attempt as (
    insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, started_at, ended_at)
    select id, 0, 'ses', '["b@example.com"]', 'sent', created_at, created_at from email
  ), event as (
    insert into email_events (email_id, type, payload, user_id, received_at)
    select id, 'sent', '{}', user_id, created_at from email returning id, received_at
  ), hook as (
    insert into webhooks (url, event_types) values ('https://hook.example', '[]') returning id
  ), delivery as (
    insert into webhook_deliveries (webhook_id, event_id, status, attempt, attempted_at, created_at)
    select hook.id, event.id, $4, 1, received_at, received_at from event, hook
  )
  select id from email`;

async function start(t: TestContext) {
  const pool = openPool(await createDatabase(t), 4);
  t.after(() => pool.end());
  const batches: RetentionBatch[] = [];
  return {
    pool,
    batches,
    async message(
      status: string,
      days: number,
      options: { owner?: string | null; delivery?: string } = {},
    ): Promise<string> {
      const { owner = 'acme', delivery = 'success' } = options;
      return (await pool.query(MESSAGE, [status, days, owner, delivery])).rows[0].id;
    },
    apply: (periods: Partial<RetentionPeriods>, signal = new AbortController().signal) =>
      applyRetention({
        db: pool,
        periods: { ...KEEP_ALL, ...periods },
        signal,
        onBatch: batch => batches.push(batch),
      }),
    /** What is left of a message. */
    async left(id: string): Promise<string[]> {
      const { rows } = await pool.query(
        `select (select count(*) from smtp_relay_messages where email_id = $1)::int as raw,
                (select count(*) from emails where id = $1 and text is not null and html is not null
                                               and attachments is not null)::int as bodies,
                (select count(*) from email_events where email_id = $1)::int as events,
                (select count(*) from smtp_relay_attempts where email_id = $1)::int as attempts,
                (select count(*) from webhook_deliveries d join email_events e on e.id = d.event_id
                  where e.email_id = $1)::int as deliveries`,
        [id],
      );
      return Object.entries(rows[0]).flatMap(([name, count]) => (count ? [name] : []));
    },
  };
}

const NOTHING = { raw: 0, bodies: 0, deliveries: 0, events: 0, attempts: 0, messages: 0 };
const ALL = ['raw', 'bodies', 'events', 'attempts', 'deliveries'];
const without = (...gone: string[]) => ALL.filter(name => !gone.includes(name));

describe('retention', { concurrency: true }, () => {
  it('removes of each kind what is older than its period, and nothing where everything is kept for ever', async t => {
    const { message, apply, left } = await start(t);
    const [old, young] = [await message('sent', 31), await message('sent', 29)];
    assert.deepEqual(await apply({}), NOTHING);
    assert.deepEqual(await left(old), ALL);
    assert.equal((await apply({ deliveries: 30 * DAY })).deliveries, 1);
    assert.deepEqual(await left(old), without('deliveries'));
    assert.equal((await apply({ bodies: 30 * DAY })).bodies, 1);
    assert.deepEqual(await left(old), without('deliveries', 'bodies'));
    assert.deepEqual(await apply({ events: 30 * DAY }), { ...NOTHING, events: 1 });
    assert.deepEqual(await left(old), ['raw', 'attempts'], 'attempts stay while the message can be sent again');
    assert.equal((await apply({ raw: 30 * DAY })).raw, 1);
    assert.deepEqual(await left(old), ['attempts']);
    assert.equal((await apply({ events: 30 * DAY })).attempts, 1);
    assert.deepEqual(await left(old), []);
    assert.deepEqual(await left(young), ALL);
  });

  it('touches no message that is not done', async t => {
    const { message, apply, left } = await start(t);
    const open = [await message('queued', 40), await message('processing', 40), await message('scheduled', 40)];
    const done = [];
    for (const status of [
      'sent',
      'delivered',
      'bounced',
      'complained',
      'failed',
      'suppressed',
      'canceled',
      'cancelled',
    ]) {
      done.push(await message(status, 35));
    }
    await apply({ raw: DAY, bodies: DAY, events: DAY, deliveries: DAY });
    for (const id of open) assert.deepEqual(await left(id), ALL);
    for (const id of done) assert.deepEqual(await left(id), []);
  });

  it('keeps an event that an endpoint is still to hear of', async t => {
    const { message, apply, left } = await start(t);
    const ids = [
      await message('sent', 40, { delivery: 'pending' }),
      await message('sent', 40, { delivery: 'failed' }),
      await message('sent', 40, { delivery: 'dead_letter' }),
    ];
    await apply({ events: DAY, deliveries: DAY });
    const events = await Promise.all(
      ids.map(async id => (await left(id)).filter(name => /events|deliveries/.test(name))),
    );
    assert.deepEqual(events, [['events', 'deliveries'], ['events', 'deliveries'], []]);
  });

  it("removes every owner's events, and those of none", async t => {
    const { pool, message, apply } = await start(t);
    for (const owner of ['acme', 'beta', null, 'zeta']) await message('sent', 40, { owner });
    await pool.query(
      `insert into email_events (type, payload, received_at) values ('webhook_disabled', '{}', now() - interval '1 y')`,
    );
    await message('sent', 1, { owner: 'young' });
    assert.equal((await apply({ events: 30 * DAY })).events, 5);
    assert.equal((await pool.query('select from email_events')).rowCount, 1);
  });

  it('goes through many rows in batches, past those that stay, also where all have the same time', async t => {
    const { pool, message, apply, batches } = await start(t);
    const stays = await message('queued', 40);
    await pool.query(`
      with email as (
        insert into emails ("from", "to", subject, text, status, user_id, created_at)
        select 'a@acme.test', '[]', '', 'Hi', 'sent', 'acme', now() - interval '40 days' from generate_series(1, 1500)
        returning id, created_at
      ), event as (
        insert into email_events (email_id, type, payload, user_id, received_at)
        select id, 'sent', '{}', 'acme', created_at from email returning id, received_at
      ), hook as (
        insert into webhooks (url, event_types) values ('https://hook.example', '[]') returning id
      ), delivery as (
        insert into webhook_deliveries (webhook_id, event_id, status, created_at, response_body)
        select hook.id, event.id, 'success', received_at, repeat('x', 300) from event, hook
      )
      insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, created_at)
      select id, 'Hi', '', 2, '', '[]', created_at from email`);
    const removed = await apply({ raw: DAY, bodies: DAY, events: DAY, deliveries: DAY });
    assert.deepEqual(removed, { ...NOTHING, raw: 1500, bodies: 1500, events: 1500, deliveries: 1500 });
    for (const kind of ['raw', 'bodies', 'events', 'deliveries']) {
      assert.ok(batches.filter(batch => batch.kind === kind).length > 2, kind);
    }
    const { rows } = await pool.query('select email_id from smtp_relay_messages');
    assert.deepEqual(rows, [{ email_id: stays }]);
  });

  it('deletes few large messages at a time', async t => {
    const { pool, apply, batches } = await start(t);
    await pool.query(`
      insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, created_at)
      select gen_random_uuid(), '', '', 20 * 1024 * 1024, '', '[]', now() - interval '40 days' from generate_series(1, 6)`);
    assert.equal((await apply({ raw: DAY })).raw, 6);
    assert.deepEqual(
      batches.map(({ removed }) => removed),
      [2, 2, 2, 0],
    );
  });

  it('comes back to a body that it could not empty, but reads the others only once', async t => {
    const { pool, message, apply, left } = await start(t);
    const [first, locked, later] = [await message('sent', 42), await message('sent', 41), await message('queued', 40)];
    const last = await message('sent', 39);
    const client = await pool.connect();
    await client.query('begin');
    await client.query('select from emails where id = $1 for update', [locked]);
    assert.equal((await apply({ bodies: DAY })).bodies, 2, 'nobody waits for a row that somebody holds');
    await client.query('commit');
    client.release();
    assert.equal((await apply({ bodies: DAY })).bodies, 1);
    await pool.query(`update emails set status = 'failed' where id = $1`, [later]);
    assert.equal((await apply({ bodies: DAY })).bodies, 1);
    for (const id of [first, locked, later, last]) assert.ok(!(await left(id)).includes('bodies'));
    await pool.query(`update emails set text = 'Hi' where id = $1`, [first]);
    assert.equal((await apply({ bodies: DAY })).bodies, 0);
  });

  it('ends behind the batch under way when it is told to', async t => {
    const { pool, apply, batches } = await start(t);
    await pool.query(`
      insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, created_at)
      select gen_random_uuid(), '', '', 0, '', '[]', now() - interval '40 days' from generate_series(1, 1000)`);
    const controller = new AbortController();
    batches.push = (...all) => {
      controller.abort();
      return all.length;
    };
    assert.equal((await apply({ raw: DAY, bodies: DAY }, controller.signal)).raw, 200);
  });
});

describe('retention of whole messages', { concurrency: true }, () => {
  const MONTH = { messages: 30 * DAY };
  /** Everything of a message that is in any table. */
  const REST = ['emails', 'email_events', 'smtp_relay_attempts', 'smtp_relay_messages', 'webhook_deliveries'];

  async function counts(pool: Awaited<ReturnType<typeof start>>['pool']): Promise<number[]> {
    return Promise.all(REST.map(async table => (await pool.query(`select from ${table}`)).rowCount ?? 0));
  }

  it('leaves nothing of those that are done, however long the rest is to be kept, and all of the others', async t => {
    const { pool, message, apply, left } = await start(t);
    for (const status of ['sent', 'delivered', 'bounced', 'complained', 'failed', 'suppressed', 'canceled']) {
      await message(status, 31);
    }
    const young = await message('sent', 29);
    assert.equal((await apply(MONTH)).messages, 7);
    assert.deepEqual(await counts(pool), [1, 1, 1, 1, 1]);
    assert.deepEqual(await left(young), ALL);
    assert.deepEqual(await apply(MONTH), NOTHING);
  });

  it('deletes no message that is open, that a worker has, that waits in the outbox, or of which a webhook is to hear', async t => {
    const { pool, message, apply, left } = await start(t);
    const kept = [await message('queued', 40), await message('processing', 40), await message('scheduled', 40)];
    const claimed = await message('sent', 40);
    await pool.query(
      `insert into smtp_relay_claims (email_id, worker, token, state, try, until)
       values ($1, 'w', gen_random_uuid(), 'held', 0, 'infinity')`,
      [claimed],
    );
    const inOutbox = await message('failed', 40);
    await pool.query(`insert into smtp_relay_outbox (email_id, correlation_id, traceparent) values ($1, '', '')`, [
      inOutbox,
    ]);
    const untold = [
      await message('sent', 40, { delivery: 'pending' }),
      await message('sent', 40, { delivery: 'failed' }),
    ];
    assert.deepEqual(await apply(MONTH), NOTHING);
    for (const id of [...kept, claimed, inOutbox, ...untold]) assert.deepEqual(await left(id), ALL);
    await pool.query(`update webhook_deliveries set status = 'dead_letter'`);
    await pool.query('delete from smtp_relay_claims');
    await pool.query('delete from smtp_relay_outbox');
    assert.equal((await apply(MONTH)).messages, 4);
  });

  it('waits for nobody who holds a row, and comes back to it', async t => {
    const { pool, message, apply } = await start(t);
    const [locked] = [await message('sent', 41), await message('sent', 40)];
    const client = await pool.connect();
    await client.query('begin');
    await client.query('select from emails where id = $1 for no key update', [locked]);
    assert.equal((await apply(MONTH)).messages, 1);
    await client.query('commit');
    client.release();
    assert.equal((await apply(MONTH)).messages, 1);
  });

  it('goes where no table refers to another by itself, as on tables that OpenSend has made', async t => {
    const { pool, message, apply } = await start(t);
    await pool.query(`
      alter table email_events drop constraint email_events_email_id_fkey,
        add foreign key (email_id) references emails (id);
      alter table webhook_deliveries drop constraint webhook_deliveries_event_id_fkey,
        add foreign key (event_id) references email_events (id)`);
    for (let nth = 0; nth < 5; nth += 1) await message('sent', 40);
    assert.equal((await apply(MONTH)).messages, 5);
    assert.deepEqual(await counts(pool), [0, 0, 0, 0, 0]);
  });

  it('goes by small batches, past those that stay, few at a time where what was received is large', async t => {
    const { pool, message, apply, batches } = await start(t);
    const stays = await message('queued', 50);
    await pool.query(`
      with email as (
        insert into emails ("from", "to", subject, status, created_at)
        select 'a@acme.test', '[]', '', 'sent', now() - interval '40 days' from generate_series(1, 600) returning id, created_at
      )
      insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, created_at)
      select id, '', '', case when row_number() over (order by id) <= 6 then 20 * 1024 * 1024 else 10 end, '', '[]', created_at
        from email`);
    assert.equal((await apply(MONTH)).messages, 600);
    assert.deepEqual(
      batches.slice(0, 3).map(({ removed }) => removed),
      [2, 2, 2],
    );
    assert.deepEqual((await pool.query('select id from emails')).rows, [{ id: stays }]);
  });
});

describe('a turn', () => {
  it('is one at a time, and comes round when it is due', async t => {
    const { pool } = await start(t);
    const taken = await Promise.all(Array.from({ length: 4 }, () => takeTurn(pool, 'work', 60_000)));
    assert.deepEqual(taken.filter(Boolean), [true]);
    assert.equal(await takeTurn(pool, 'other work', 60_000), true);
    await endTurn(pool, 'work', 60_000);
    assert.equal(await takeTurn(pool, 'work', 60_000), false);
    await endTurn(pool, 'work', 0);
    assert.equal(await takeTurn(pool, 'work', 60_000), true);
  });
});

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import type pg from 'pg';
import { createRegistry } from '../../src/observability/metrics.ts';
import { type Recorded, recordIncoming } from '../../src/store/events/incoming.ts';
import { createHitRecorder, createHits, type Hit } from '../../src/tracking/hits.ts';
import { CLICK_PATH, OPEN_PATH } from '../../src/tracking/token.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';
import { collectingLogger, openPublic } from './support/listeners.ts';

const parts = new AsyncDisposableStack();
after(() => parts.disposeAsync());
const databaseUrl = await createDatabase({ after: fn => parts.defer(fn) });
const db = openPool(databaseUrl, 2);
parts.defer(() => db.end());

const INSERT_EMAIL = `
  insert into emails (user_id, "from", "to", subject, status, tags)
  values ($1, 'a@acme.test', $2, 'Hello', 'sent', '[{"name": "kind", "value": "news"}]') returning id`;
const INSERT_ORIGINAL = `
  insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients, message_id)
  values ($1, '', '', 0, 'a@acme.test', $2, 'x@acme.test')`;
const INSERT_WEBHOOK = `insert into webhooks (url, event_types, user_id) values ('https://hook.example/', $2, $1)`;
const INSERT_UNKNOWN = `
  insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, started_at)
  values ($1, 0, 'ses', $2, 'unknown', now())`;
const EVENTS = `
  select v.type, v.source_id, v.payload, v.user_id,
         (select count(*)::integer from webhook_deliveries d where d.event_id = v.id) as deliveries
    from email_events v where v.email_id = $1 order by v.type`;

async function store(recipients: readonly string[]) {
  const userId = `user_${randomUUID()}`;
  const { rows } = await db.query<{ id: string }>(INSERT_EMAIL, [userId, JSON.stringify(recipients)]);
  const emailId = rows[0]?.id as string;
  await db.query(INSERT_ORIGINAL, [emailId, JSON.stringify(recipients)]);
  return { userId, emailId, events: async () => (await db.query(EVENTS, [emailId])).rows };
}

function hit(emailId: string, url: string | null): Hit {
  const type = url === null ? 'opened' : 'clicked';
  return { id: randomUUID(), type, emailId, url, userAgent: 'Web/1.0', at: new Date('2026-01-02T03:04:05.678Z') };
}

/** How many rows of `email_events` a transaction reads, by whichever plan. */
async function rowsRead(work: (pool: pg.Pool) => Promise<unknown>): Promise<number> {
  let read = Number.NaN;
  const connect = async () => {
    const client = await db.connect();
    const query = async (text: string, values?: unknown[]) => {
      if (text === 'commit') {
        const counts = `select coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) as rows
                          from pg_stat_xact_user_tables where relname = 'email_events'`;
        read = Number((await client.query(counts)).rows[0].rows);
      }
      return client.query(text, values);
    };
    return { query, release: (destroy?: boolean) => client.release(destroy) };
  };
  await work({ connect, query: db.query.bind(db) } as unknown as pg.Pool);
  return read;
}

describe('recording hits', () => {
  it('writes events, and deliveries for the webhooks that asked for them', async () => {
    const mail = await store(['b@example.com']);
    await db.query(INSERT_WEBHOOK, [mail.userId, '["email.clicked"]']);
    const recorded: Recorded[] = [];
    const record = createHitRecorder({ pool: db, onRecorded: each => void recorded.push(each) });
    const [click, open] = [hit(mail.emailId, 'https://a.example/?x=1'), hit(mail.emailId, null)] as const;
    await record([click, open]);
    const [clicked, opened] = await mail.events();
    assert.deepEqual(
      [clicked.type, clicked.source_id, clicked.deliveries, clicked.user_id],
      ['clicked', `hit:${click.id}`, 1, mail.userId],
    );
    assert.deepEqual([opened.type, opened.source_id, opened.deliveries], ['opened', `hit:${open.id}`, 0]);
    const { created_at, ...payload } = clicked.payload;
    assert.match(created_at, /^\d{4}-\d\d-\d\dT/);
    assert.deepEqual(payload, {
      email_id: mail.emailId,
      from: 'a@acme.test',
      to: ['b@example.com'],
      subject: 'Hello',
      tags: { kind: 'news' },
      recipients: ['b@example.com'],
      message_id: 'x@acme.test',
      occurred_at: '2026-01-02T03:04:05.678Z',
      click: { link: 'https://a.example/?x=1', user_agent: 'Web/1.0' },
    });
    assert.deepEqual(opened.payload.open, { user_agent: 'Web/1.0' });
    assert.deepEqual([recorded.length, recorded[0]?.deliveriesDue], [1, true]);
  });

  it('writes the same hits once, however often they are given', async () => {
    const mail = await store(['b@example.com']);
    const record = createHitRecorder({ pool: db });
    const hits = [hit(mail.emailId, null), hit(mail.emailId, null)];
    await record(hits);
    await record(hits);
    assert.equal((await mail.events()).length, 2);
  });

  it('leaves out those of messages that are no more', async () => {
    const mail = await store(['b@example.com']);
    await createHitRecorder({ pool: db })([hit(randomUUID(), null), hit(mail.emailId, null)]);
    assert.equal((await mail.events()).length, 1);
  });

  it('keeps hits though the message as received is kept no longer', async () => {
    const mail = await store(['b@example.com']);
    await db.query('delete from smtp_relay_messages where email_id = $1', [mail.emailId]);
    await createHitRecorder({ pool: db })([hit(mail.emailId, null)]);
    const [opened] = await mail.events();
    assert.deepEqual(opened.payload.recipients, ['b@example.com']);
  });

  it('tells that an only recipient was sent to, and nothing of one among several', async () => {
    const record = createHitRecorder({ pool: db });
    const outcomes = async (recipients: readonly string[]) => {
      const mail = await store(recipients);
      await db.query(INSERT_UNKNOWN, [mail.emailId, JSON.stringify(recipients)]);
      await record([hit(mail.emailId, null)]);
      const attempts = 'select outcome from smtp_relay_attempts where email_id = $1 order by id';
      return (await db.query(attempts, [mail.emailId])).rows.map(({ outcome }) => outcome);
    };
    assert.deepEqual(await outcomes(['b@example.com']), ['unknown', 'sent']);
    assert.deepEqual(await outcomes(['b@example.com', 'c@example.com']), ['unknown']);
  });

  it('costs the same however often the message was opened before, and so does what tells of its status', async () => {
    const mail = await store(['b@example.com']);
    const many = `insert into email_events (email_id, type, payload, user_id) select $1, 'clicked', '{}', $2 from generate_series(1, 5000)`;
    const delivered = {
      ...{
        id: randomUUID(),
        emailId: mail.emailId,
        userId: mail.userId,
        type: 'delivered' as const,
        payload: { recipients: ['b@example.com'] },
      },
      ...{ sourceId: randomUUID(), suppression: null },
      call: { transport: 'ses', providerMessageId: null, recipients: [] },
    };
    await db.query('analyze email_events');
    const before = await rowsRead(pool => createHitRecorder({ pool })([hit(mail.emailId, null)]));
    await db.query(many, [mail.emailId, mail.userId]);
    await db.query('analyze email_events');
    const after = await rowsRead(pool => createHitRecorder({ pool })([hit(mail.emailId, null)]));
    assert.ok(after <= before + 10, `${before}, then ${after} rows`);
    const told = await rowsRead(pool => recordIncoming(pool, [delivered]));
    assert.ok(told < 20, `${told} rows`);
    const { rows } = await db.query('select status from emails where id = $1', [mail.emailId]);
    assert.equal(rows[0].status, 'delivered');
  });

  it('is the end of the way of an open and a click', async t => {
    const mail = await store(['b@example.com']);
    const { logger } = collectingLogger();
    const record = createHitRecorder({ pool: db });
    const hits = createHits({ record, hitsPerHour: () => 100, logger, registry: createRegistry() });
    t.after(() => hits.stop());
    const { url, tokens } = await openPublic(t, { hits });
    const open = tokens.sign({ kind: 'open', emailId: mail.emailId });
    const click = tokens.sign({ kind: 'click', emailId: mail.emailId, url: 'https://a.example/' });
    await fetch(`${url}${OPEN_PATH}${open}`);
    await fetch(`${url}${CLICK_PATH}${click}`, { redirect: 'manual' });
    const events = await eventually(async () => {
      const found = await mail.events();
      return found.length === 2 ? found : null;
    });
    assert.deepEqual(
      events?.map(({ type }) => type),
      ['clicked', 'opened'],
    );
  });
});

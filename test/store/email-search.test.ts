import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type pg from 'pg';
import { resolveEmailId } from '../../src/store/emails/find.ts';
import { type EmailFilter, EXAMINED, lookForEmails } from '../../src/store/emails/list.ts';
import { applyRetention } from '../../src/store/retention/retention.ts';
import { runInProcess } from '../cli/run-cli.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { storeMessage } from '../support/stored.ts';

/** $1 the number of messages, a second apart, the youngest a minute old; $2 of whom; $3 how they stand. */
const FILL = `
  insert into emails ("from", "to", subject, user_id, status, created_at)
  select 'a@acme.test', '[]', n::text, $2, $3, now() - interval '1 min' - make_interval(secs => n) from generate_series(1, $1::int) n`;

/** One of them. $1 how long ago it came in. */
const ONE = `
  insert into emails ("from", "to", subject, user_id, status, created_at)
  values ('a@acme.test', '[]', 'one', $2, $3, now() - $1::interval) returning id`;

async function start(t: TestContext, { beside = false } = {}) {
  const url = await createDatabase(t, { pipeline: beside ? 'opensend' : 'standalone' });
  const pool = openPool(url, 2);
  t.after(() => pool.end());
  return { url, pool, one: (age: string, owner: string, status: string) => store(pool, age, owner, status) };
}

async function store(pool: pg.Pool, age: string, owner: string, status: string): Promise<string> {
  return (await pool.query<{ id: string }>(ONE, [age, owner, status])).rows[0]?.id ?? '';
}

const ids = ({ rows }: { rows: readonly { id: string }[] }) => rows.map(({ id }) => id);

describe('a search among very many messages', { concurrency: true }, () => {
  it('finds all of a status, an owner, or both where one of their indexes leads to it, and says so', async t => {
    const { pool, one } = await start(t);
    await pool.query(FILL, [EXAMINED + 100, 'busy', 'delivered']);
    await pool.query(FILL, [100, 'other', 'queued']);
    const failed = await one('20 days', 'busy', 'failed');
    const canceled = [await one('5 days', 'busy', 'canceled'), await one('6 days', 'busy', 'cancelled')];
    const scheduled = await one('30 days', 'busy', 'scheduled');
    const [sent, handled] = [await one('9 days', 'calm', 'sent'), await one('8 days', 'calm', 'queued')];
    await pool.query(
      `insert into smtp_relay_claims (email_id, worker, token, try, until) values ($1, 'w', gen_random_uuid(), 0, now() + interval '1 h')`,
      [handled],
    );
    const cases: [Omit<EmailFilter, 'limit'>, string[]][] = [
      [{ status: 'failed' }, [failed]],
      [{ status: 'failed', owner: 'busy' }, [failed]],
      [{ status: 'canceled' }, canceled],
      [{ status: 'cancelled', owner: 'busy' }, canceled],
      [{ status: 'scheduled' }, [scheduled]],
      [{ status: 'scheduled', owner: 'busy' }, [scheduled]],
      [{ status: 'processing' }, [handled]],
      [{ status: 'sent', owner: 'calm' }, [sent]],
      [{ owner: 'calm' }, [handled, sent]],
      [{ owner: 'calm', before: new Date(Date.now() - 8.5 * 86_400_000) }, [sent]],
      [{ status: 'failed', owner: 'nobody' }, []],
    ];
    for (const [filter, expected] of cases) {
      const found = await lookForEmails(pool, { ...filter, limit: 50 });
      assert.deepEqual([ids(found), found.backTo], [expected, null], JSON.stringify(filter));
    }
  });

  it('ends where no index leads on, and says where to go on', async t => {
    const { url, pool, one } = await start(t);
    await pool.query(FILL, [EXAMINED + 100, 'busy', 'delivered']);
    const [young, old] = [await one('2 min', 'busy', 'sent'), await one('5 days', 'busy', 'sent')];
    for (const filter of [{ status: 'sent' }, { status: 'sent', owner: 'busy' }]) {
      const first = await lookForEmails(pool, { ...filter, limit: 50 });
      assert.deepEqual(ids(first), [young]);
      assert.ok(first.backTo);
      const before = new Date(first.backTo.getTime() + 1);
      const next = await lookForEmails(pool, { ...filter, before, limit: 50 });
      assert.deepEqual([ids(next), next.backTo], [[old], null]);
      // As many as are asked for are all that are asked for.
      assert.equal((await lookForEmails(pool, { ...filter, limit: 1 })).backTo, null);
    }
    const run = (...args: string[]) => runInProcess(['emails', 'list', ...args], { DATABASE_URL: url });
    const { code, stdout, stderr } = await run('--status', 'sent', '--json');
    assert.deepEqual([code, ids({ rows: JSON.parse(stdout) })], [0, [young]]);
    const [, before = ''] = /for what is older: --before (\S+)\n$/.exec(stderr) ?? [];
    const rest = await run('--status', 'sent', '--json', '--before', before);
    assert.deepEqual([ids({ rows: JSON.parse(rest.stdout) }), rest.stderr], [[old], '']);
  });

  it('finds any status by the indexes that an OpenSend has', async t => {
    const { pool, one } = await start(t, { beside: true });
    await pool.query(FILL, [EXAMINED + 100, 'busy', 'delivered']);
    const sent = await one('5 days', 'busy', 'sent');
    for (const filter of [{ status: 'sent' }, { status: 'sent', owner: 'busy' }]) {
      const found = await lookForEmails(pool, { ...filter, limit: 50 });
      assert.deepEqual([ids(found), found.backTo], [[sent], null]);
    }
  });

  it('knows the Message-ID of what is no longer kept as it was received, as long as its row is kept', async t => {
    const { pool } = await start(t);
    const id = await storeMessage(pool, { messageId: 'kept@acme.test', outboxLease: null });
    await pool.query(
      `update emails set status = 'sent', headers = null, created_at = now() - interval '40 days' where id = $1`,
      [id],
    );
    await pool.query(`update smtp_relay_messages set created_at = now() - interval '40 days' where email_id = $1`, [
      id,
    ]);
    const forever = Number.POSITIVE_INFINITY;
    const periods = { raw: forever, bodies: forever, events: forever, deliveries: forever, messages: forever };
    const never = new AbortController().signal;
    const remove = (kind: 'raw' | 'messages') =>
      applyRetention({ db: pool, periods: { ...periods, [kind]: 86_400_000 }, signal: never });
    assert.equal((await remove('raw')).raw, 1);
    assert.equal(await resolveEmailId(pool, '<kept@acme.test>'), id);
    assert.equal((await remove('messages')).messages, 1);
    await assert.rejects(resolveEmailId(pool, '<kept@acme.test>'), { code: 'not-found' });
    assert.equal((await pool.query('select from smtp_relay_message_ids')).rowCount, 0);
  });
});

import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import type pg from 'pg';
import { pino } from 'pino';
import type { OutboxJob } from '../../src/message/send-job.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { Outbox } from '../../src/store/messages/outbox.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';

const databaseUrl = await createDatabase({ after });
const pool = openPool(databaseUrl);
after(() => pool.end());

const INSERT = `
  insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent, due_at)
  select gen_random_uuid(), $1, repeat('c', 32), '00-' || repeat('c', 32) || '-' || repeat('d', 16) || '-00',
         now() + make_interval(secs => $3) + make_interval(secs => i / 1e6)
    from generate_series(1, $2::integer) as i`;

async function fill(userId: string | null, count: number, dueIn = -60): Promise<void> {
  await pool.query(INSERT, [userId, count, dueIn]);
}

/** Entries that were read so far, by any way, as Postgres counts them. */
async function entriesRead(only: pg.Pool): Promise<number> {
  await only.query('select pg_stat_force_next_flush()');
  const { rows } = await only.query(
    `select (t.seq_tup_read + sum(i.idx_tup_read))::integer as read
       from pg_stat_user_tables t join pg_stat_user_indexes i using (relid)
      where t.relname = 'smtp_relay_outbox' group by t.seq_tup_read`,
  );
  return rows[0].read;
}

function countByOwner(entries: readonly OutboxJob[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { userId } of entries) counts[userId ?? '-'] = (counts[userId ?? '-'] ?? 0) + 1;
  return counts;
}

describe('Outbox.remove', () => {
  it('does not wait for the disk, and leaves the session to commits that do', async t => {
    await pool.query('truncate smtp_relay_outbox');
    await fill('only', 2);
    await pool.query(`
      create table removals (synchronous_commit text);
      create function note_removal() returns trigger language plpgsql as $$
        begin insert into removals values (current_setting('synchronous_commit')); return null; end
      $$;
      create trigger note_removal after delete on smtp_relay_outbox execute function note_removal()`);
    t.after(() =>
      pool.query('drop trigger note_removal on smtp_relay_outbox; drop function note_removal; drop table removals'),
    );
    const alone = openPool(databaseUrl, 1);
    t.after(() => alone.end());
    const outbox = new Outbox(alone);
    await outbox.remove(await outbox.leaseDue(1, 60_000));
    assert.deepEqual((await pool.query('select * from removals')).rows, [{ synchronous_commit: 'off' }]);
    assert.deepEqual((await alone.query('show synchronous_commit')).rows, [{ synchronous_commit: 'on' }]);
    assert.equal((await pool.query('select 1 from smtp_relay_outbox')).rowCount, 1);
  });

  it('reads no more of an outbox that has grown, in a session that keeps statements', async t => {
    await pool.query('truncate smtp_relay_outbox');
    const timeouts = { connectTimeout: 30_000, statementTimeout: 0 };
    const options = { databaseUrl, poolSize: 1, ...timeouts, preparedStatements: 'auto' } as const;
    const alone = createPool(options, pino({ level: 'silent' }));
    t.after(() => alone.end());
    const outbox = new Outbox(alone);
    // More often than Postgres plans a statement that is kept.
    for (let time = 0; time < 10; time += 1) {
      await fill('only', 1);
      await outbox.remove(await outbox.leaseDue(1, 60_000));
    }
    await fill('only', 20_000);
    const jobs = await outbox.leaseDue(10, 60_000);
    const before = await entriesRead(alone);
    await outbox.remove(jobs);
    const read = (await entriesRead(alone)) - before;
    assert.ok(read < 1_000, `${read} entries read`);
  });
});

describe('Outbox.takeInTurn', () => {
  beforeEach(() => pool.query('truncate smtp_relay_outbox'));

  it('shares the limit among owners, those without a name too', async () => {
    await fill('big', 100);
    await fill('small', 3);
    await fill(null, 1);
    const outbox = new Outbox(pool);
    assert.deepEqual(countByOwner(await outbox.takeInTurn(30, 60_000)), { big: 10, small: 3, '-': 1 });
  });

  it('leaves out those it is told to, and shares the limit among the others', async () => {
    for (const userId of ['a', 'b', 'c', null]) await fill(userId, 50);
    const outbox = new Outbox(pool);
    assert.deepEqual(countByOwner(await outbox.takeInTurn(30, 60_000, ['b', null])), { a: 15, c: 15 });
    assert.deepEqual(await outbox.takeInTurn(30, 60_000, ['a', 'b', 'c', null]), []);
    assert.deepEqual(countByOwner(await outbox.takeInTurn(20, 60_000)), { a: 5, b: 5, c: 5, '-': 5 });
  });

  it('takes all of one owner in the order in which it is due', async () => {
    await fill('only', 25);
    const { rows } = await pool.query<{ id: string }>('select email_id as id from smtp_relay_outbox order by due_at');
    const outbox = new Outbox(pool);
    const taken = [...(await outbox.takeInTurn(20, 60_000)), ...(await outbox.takeInTurn(20, 60_000))];
    assert.deepEqual(
      [taken.slice(0, 20), taken.slice(20)].map(part => new Set(part.map(({ emailId }) => emailId))),
      [rows.slice(0, 20), rows.slice(20)].map(part => new Set(part.map(({ id }) => id))),
    );
    const [first] = taken;
    assert.deepEqual(Object.keys(first ?? {}).sort(), [
      'correlationId',
      'emailId',
      'requestedAt',
      'traceparent',
      'try',
      'userId',
    ]);
    assert.deepEqual(await outbox.takeInTurn(20, 60_000), []);
  });

  it('goes round more owners than fit into one helping', async () => {
    for (let owner = 0; owner < 25; owner += 1) await fill(`owner${owner}`, 2);
    const outbox = new Outbox(pool);
    const helpings: Record<string, number>[] = [];
    for (let count = 0; count < 6; count += 1) helpings.push(countByOwner(await outbox.takeInTurn(10, 60_000)));
    const owners = helpings.slice(0, 3).flatMap(helping => Object.keys(helping));
    assert.equal(new Set(owners).size, 25, 'everybody once before anybody twice');
    assert.equal(
      helpings.flatMap(helping => Object.values(helping)).reduce((sum, count) => sum + count),
      50,
    );
    assert.deepEqual(await outbox.takeInTurn(10, 60_000), []);
  });

  it('finds what is due behind a thousand owners whose time has not come', async () => {
    await pool.query(
      `insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent, due_at)
       select gen_random_uuid(), 'later' || i, '', '', now() + interval '1 hour' from generate_series(1, 1200) as i`,
    );
    await fill('zoe', 1);
    await fill('adam', 1);
    const outbox = new Outbox(pool);
    const taken = [...(await outbox.takeInTurn(10, 60_000)), ...(await outbox.takeInTurn(10, 60_000))];
    assert.deepEqual(countByOwner(taken), { adam: 1, zoe: 1 });
    assert.deepEqual(await outbox.takeInTurn(10, 60_000), []);
  });

  it('leaves what others have until their lease ends, is renewed, or is given back', async () => {
    await fill('a', 2);
    const outbox = new Outbox(pool);
    const taken = await outbox.takeInTurn(10, 50);
    await outbox.renew(taken, 60_000);
    await new Promise(resolve => setTimeout(resolve, 100));
    assert.deepEqual(await outbox.takeInTurn(10, 60_000), []);
    await outbox.release(taken);
    assert.equal((await outbox.takeInTurn(10, 1)).length, 2);
    await new Promise(resolve => setTimeout(resolve, 20));
    assert.equal((await outbox.takeInTurn(10, 60_000)).length, 2, 'a lease has ended');
  });

  it('gives no two callers the same entry', async () => {
    await fill('a', 300);
    await fill('b', 300);
    const seen: string[] = [];
    const takeAll = async (outbox: Outbox): Promise<void> => {
      for (let empty = 0; empty < 3; ) {
        const entries = await outbox.takeInTurn(17, 60_000);
        seen.push(...entries.map(({ emailId }) => emailId));
        empty = entries.length === 0 ? empty + 1 : 0;
      }
    };
    await Promise.all([new Outbox(pool), new Outbox(pool), new Outbox(pool), new Outbox(pool)].map(takeAll));
    assert.equal(seen.length, 600);
    assert.equal(new Set(seen).size, 600);
  });

  it('reads few entries, though one owner has 200,000', async t => {
    await fill('big', 200_000);
    await fill('small', 1);
    await pool.query('analyze smtp_relay_outbox');
    // One connection, which tells at once what it has read.
    const only = openPool(databaseUrl, 1);
    t.after(() => only.end());
    const outbox = new Outbox(only);
    const before = await entriesRead(only);
    assert.equal(countByOwner(await outbox.takeInTurn(100, 60_000))['small'], 1);
    for (let count = 0; count < 8; count += 1) await outbox.takeInTurn(100, 60_000);
    const read = (await entriesRead(only)) - before;
    assert.ok(read >= 801 && read < 20_000, `${read} entries`);
  });
});

import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type Republished, Republisher } from '../../src/store/delivery/republish.ts';
import { Outbox } from '../../src/store/messages/outbox.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { storeMessage } from '../support/stored.ts';

const MINUTE = 60_000;

async function start(t: TestContext) {
  const pool = openPool(await createDatabase(t), 4);
  t.after(() => pool.end());
  const republisher = () => new Republisher({ db: pool, after: 10 * MINUTE });
  return {
    pool,
    republisher,
    /** A message without a job, accepted so long ago. */
    async lost(minutes: number): Promise<string> {
      const id = await storeMessage(pool, { outboxLease: null });
      await pool.query(`update emails set created_at = now() - make_interval(mins => $2) where id = $1`, [id, minutes]);
      return id;
    },
    async jobs(): Promise<unknown[]> {
      const { rows } = await pool.query('select email_id as id, try from smtp_relay_outbox o order by o.id');
      return rows.map(row => ({ ...row }));
    },
    /** Lets time pass for the republished message. */
    async pass(id: string, minutes: number): Promise<void> {
      await pool.query('delete from smtp_relay_outbox');
      await pool.query(
        `update smtp_relay_messages set republish_after = republish_after - make_interval(mins => $2) where email_id = $1`,
        [id, minutes],
      );
    },
  };
}

describe('publishing lost jobs again', { concurrency: true }, () => {
  it('takes a message that is queued for long without a job, and makes one that can be published', async t => {
    const { pool, republisher, lost, jobs } = await start(t);
    const id = await lost(11);
    await lost(9);
    assert.deepEqual(await republisher().next(), { jobs: 1, finished: true });
    assert.deepEqual(await jobs(), [{ id, try: 0 }]);
    const [job] = await new Outbox(pool).leaseDue(10, 1000);
    assert.equal(job?.userId, 'acme');
    assert.match(job?.correlationId ?? '', /^[0-9a-f]{32}$/);
    assert.match(job?.traceparent ?? '', new RegExp(`^00-${job?.correlationId}-[0-9a-f]{16}-00$`));
  });

  it('leaves alone what waits with reason', async t => {
    const { pool, republisher, lost, jobs } = await start(t);
    const [withJob, claimed, held, later, tried, taken, done] = await Promise.all(
      Array.from({ length: 7 }, () => lost(60)),
    );
    await pool.query(
      `insert into smtp_relay_outbox (email_id, try, due_at, correlation_id, traceparent) values ($1, 0, now() + interval '1 h', '', '')`,
      [withJob],
    );
    await pool.query(
      `insert into smtp_relay_claims (email_id, worker, token, state, try, until)
       values ($1, 'w', gen_random_uuid(), 'claimed', 0, now() + interval '1 min'),
              ($2, 'w', gen_random_uuid(), 'held', 0, 'infinity')`,
      [claimed, held],
    );
    const retry = `update emails set provider_retry_count = 2, provider_next_retry_at = now() + make_interval(mins => $2) where id = $1`;
    await pool.query(retry, [later, 5]);
    await pool.query(retry, [tried, -5]);
    await pool.query(`update emails set status = 'processing' where id = $1`, [taken]);
    await pool.query(`update emails set status = 'sent' where id = $1`, [done]);
    const theirs = `insert into emails ("from", "to", subject, created_at) values ('a@b.c', '[]', '', now() - interval '1 h')`;
    await pool.query(theirs);
    const before = await jobs();
    assert.deepEqual(await republisher().next(), { jobs: 0, finished: true });
    assert.deepEqual(await jobs(), before);
  });

  it('gives a lost retry the number of its try', async t => {
    const { pool, republisher, lost, jobs } = await start(t);
    const id = await lost(120);
    await pool.query(
      `update emails set provider_retry_count = 3, provider_next_retry_at = now() - interval '11 min' where id = $1`,
      [id],
    );
    await republisher().next();
    assert.deepEqual(await jobs(), [{ id, try: 3 }]);
  });

  it('pauses twice as long each time, up to six hours', async t => {
    const { pool, republisher, lost, pass } = await start(t);
    const id = await lost(11);
    const pauses: number[] = [];
    for (let time = 0; time < 8; time += 1) {
      assert.equal((await republisher().next()).jobs, 1);
      await pool.query('delete from smtp_relay_outbox');
      assert.equal((await republisher().next()).jobs, 0);
      const { rows } = await pool.query(
        `select round(extract(epoch from republish_after - now()) / 60)::integer as minutes from smtp_relay_messages`,
      );
      pauses.push(rows[0].minutes);
      await pass(id, rows[0].minutes + 1);
    }
    assert.deepEqual(pauses, [20, 40, 80, 160, 320, 360, 360, 360]);
  });

  it('does it once, however many do it', async t => {
    const { republisher, lost, jobs } = await start(t);
    await Promise.all(Array.from({ length: 20 }, () => lost(30)));
    const found = await Promise.all(Array.from({ length: 4 }, () => republisher().next()));
    assert.equal(
      found.reduce((sum, { jobs }) => sum + jobs, 0),
      20,
    );
    assert.equal((await jobs()).length, 20);
  });

  it('takes no backlog for a loss: what is worked on tells how far the queue is behind', async t => {
    const { pool, republisher, lost, jobs } = await start(t);
    await Promise.all(Array.from({ length: 60 }, (_, index) => lost(20 + index)));
    const [working, sent] = [await lost(80), await lost(40)];
    await pool.query(`update emails set status = 'processing' where id = $1`, [working]);
    await pool.query(`update emails set status = 'sent' where id = $1`, [sent]);
    await pool.query(
      `insert into smtp_relay_claims (email_id, worker, token, try, until) values ($1, 'w', gen_random_uuid(), 0, now() + interval '1 min')`,
      [working],
    );
    await pool.query(
      `insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, started_at)
       values ($1, 0, 'ses', '[]', 'sent', now() - interval '1 min')`,
      [sent],
    );
    assert.deepEqual(await republisher().next(), { jobs: 0, finished: true });
    // One is older than the queue can be behind.
    const old = await lost(180);
    assert.deepEqual(await republisher().next(), { jobs: 1, finished: true });
    assert.deepEqual(await jobs(), [{ id: old, try: 0 }]);
    // The queue has been worked off; what waits now was lost.
    await pool.query('delete from smtp_relay_claims');
    await pool.query('delete from smtp_relay_outbox');
    assert.equal((await republisher().next()).jobs, 0);
    await pool.query(`update emails set created_at = now() - interval '61 s' where id = $1`, [sent]);
    assert.equal((await republisher().next()).jobs, 60);
  });

  it('finds the lost one behind thousands that wait with reason, and comes to all of very many lost ones', async t => {
    const { pool, republisher, lost, jobs } = await start(t);
    await pool.query(`
      with waiting as (
        insert into emails ("from", "to", subject, created_at)
        select 'a@acme.test', '[]', '', now() - interval '1 day' from generate_series(1, 4500) returning id
      ), raw as (
        insert into smtp_relay_messages (email_id, raw, sha256, size_bytes, reverse_path, recipients)
        select id, '', '', 0, '', '[]' from waiting
      )
      insert into smtp_relay_outbox (email_id, correlation_id, traceparent) select id, '', '' from waiting`);
    const id = await lost(11);
    const one = republisher();
    const steps: Republished[] = [];
    while (steps.at(-1)?.finished !== true) steps.push(await one.next());
    assert.deepEqual(
      steps.map(({ jobs }) => jobs),
      [0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    );
    assert.deepEqual((await jobs()).at(-1), { id, try: 0 });

    // Of very many lost ones few come first, and more when somebody is seen to work on them.
    await pool.query('delete from smtp_relay_outbox');
    assert.deepEqual(await one.next(), { jobs: 50, finished: true });
    await pool.query(
      `insert into smtp_relay_attempts (email_id, try, transport, recipients, outcome, started_at)
       select email_id, 0, 'ses', '[]', 'sent', now() from smtp_relay_outbox`,
    );
    const looks: number[] = [];
    for (let all = 50; all < 4500; all = 50 + looks.reduce((sum, each) => sum + each, 0)) {
      let jobs = 0;
      for (let finished = false; !finished; ) {
        const step = await one.next();
        jobs += step.jobs;
        assert.ok(step.jobs <= 500);
        ({ finished } = step);
      }
      looks.push(jobs);
    }
    assert.deepEqual(looks, [1000, 1000, 1000, 1000, 450]);
  });
});

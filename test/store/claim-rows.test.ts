import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { newTrace } from '../../src/observability/tracing.ts';
import { type Claim, Claims } from '../../src/store/delivery/claims.ts';
import { type Settlement, Settler } from '../../src/store/delivery/settle.ts';
import { cancelEmail } from '../../src/store/emails/actions.ts';
import { listEmails } from '../../src/store/emails/list.ts';
import { readEmailStory } from '../../src/store/emails/show.ts';
import { createDatabase } from '../support/database.ts';
import { openPool } from '../support/pool.ts';
import { storeMessage } from '../support/stored.ts';

const logger = pino({ level: 'silent' });
const never = new AbortController().signal;
const CLAIMS = 160;

/** What the statements of one session have done to a table so far. */
const CHANGES = `
  select n_tup_ins::integer as inserted, n_tup_upd::integer as updated, n_tup_hot_upd::integer as hot
    from pg_stat_user_tables where relname = $1`;

/** With one connection, which can tell what it did without waiting. */
async function start(t: TestContext, connections = 1) {
  const pool = openPool(await createDatabase(t), connections);
  t.after(() => pool.end());
  return {
    pool,
    claims: new Claims(pool, { worker: 'a', leaseTime: 60_000 }),
    settler: new Settler({ pool, worker: 'a', logger }),
    async changes(table: string): Promise<{ inserted: number; updated: number; hot: number }> {
      await pool.query('select pg_stat_force_next_flush()');
      await pool.query('select');
      return { ...(await pool.query(CHANGES, [table])).rows[0] };
    },
  };
}

function settlement(claim: Claim, standing: Settlement['standing']): Settlement {
  return { claim, standing, attempts: [], events: [], trace: newTrace(), notice: null };
}

async function storeMany(pool: Parameters<typeof storeMessage>[0], count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let stored = 0; stored < count; stored += 1) ids.push(await storeMessage(pool));
  return ids;
}

describe('what claims change', { concurrency: true }, () => {
  it('is no row of emails, from the claim to the settlement, which changes it once', async t => {
    const { pool, claims, settler, changes } = await start(t);
    const ids = await storeMany(pool, 20);
    const claimed = await claims.take(ids);
    await Promise.all(claimed.map(claim => claims.beginSending(claim, ['to@example.com'])));
    await claims.renew(claimed);
    await pool.query("update smtp_relay_claims set until = now() - interval '1 h', state = 'claimed'");
    const again = await new Claims(pool, { worker: 'b', leaseTime: 60_000 }).takeOver(20);
    assert.equal(again.length, 20);
    assert.equal((await changes('emails')).updated, 0);
    await Promise.all(again.map(claim => settler.settle(settlement(claim, { kind: 'sent' }), never)));
    assert.equal((await changes('emails')).updated, 20);
  });

  // Pages are filled to two fifths, so that each row may be written once more beside itself before anything is cleaned up.
  for (const [what, change] of [
    ['leases are renewed', (claims, claimed) => claims.renew(claimed)],
    [
      'calls begin',
      (claims, claimed) => Promise.all(claimed.map(claim => claims.beginSending(claim, ['to@example.com']))),
    ],
    ['messages are given back', (claims, claimed) => claims.handBack(claimed)],
  ] as [string, (claims: Claims, claimed: readonly Claim[]) => Promise<unknown>][]) {
    it(`stays within its page, and in no index, when ${what}`, async t => {
      const { pool, claims, changes } = await start(t);
      await change(claims, await claims.take(await storeMany(pool, CLAIMS)));
      assert.deepEqual(await changes('smtp_relay_claims'), { inserted: CLAIMS, updated: CLAIMS, hot: CLAIMS });
    });
  }

  it('of a message that waits for its next try is in no index either', async t => {
    const { pool, claims, settler, changes } = await start(t);
    const [id] = (await storeMany(pool, 1)) as [string];
    const [claim] = (await claims.take([id])) as [Claim];
    const error = { code: 'x', message: 'y' };
    await settler.settle(settlement(claim, { kind: 'retry', error, afterMs: 60_000 }), never);
    assert.deepEqual(await changes('emails'), { inserted: 1, updated: 1, hot: 1 });
  });
});

describe('a message that a worker has', { concurrency: true }, () => {
  it('is shown as processing, and not as queued, with the time of the claim', async t => {
    const { pool, claims } = await start(t);
    const [waiting, sending] = (await storeMany(pool, 2)) as [string, string];
    const earlier = await storeMessage(pool);
    await pool.query("update emails set status = 'processing' where id = $1", [earlier]);
    await claims.take([sending]);
    const listed = async (status?: string) =>
      (await listEmails(pool, { status, limit: 10 })).map(email => [email.id, email.status]);
    assert.deepEqual(await listed('queued'), [[waiting, 'queued']]);
    assert.deepEqual(await listed('processing'), [
      [earlier, 'processing'],
      [sending, 'processing'],
    ]);
    assert.deepEqual(await listed(), [
      [earlier, 'processing'],
      [sending, 'processing'],
      [waiting, 'queued'],
    ]);
    const { status, claim, retry } = await readEmailStory(pool, sending);
    assert.deepEqual([status, retry.lastAttemptedAt], ['processing', claim?.claimedAt]);
  });

  it('is not cancelled by who looked right before its call began', async t => {
    const { pool } = await start(t, 3);
    const id = await storeMessage(pool);
    const worker = await pool.connect();
    await worker.query('begin');
    await worker.query('select from emails where id = $1 for no key update', [id]);
    const refused = assert.rejects(cancelEmail(pool, id), /worker w is sending it just now$/);
    await untilSomebodyWaits(pool);
    await worker.query(
      `insert into smtp_relay_claims (email_id, worker, token, state, try, until)
       values ($1, 'w', gen_random_uuid(), 'sending', 0, now() + interval '1 min')`,
      [id],
    );
    await worker.query('commit');
    worker.release();
    await refused;
  });

  it('is not taken by who finds it sent by then', async t => {
    const { pool, claims } = await start(t, 3);
    const id = await storeMessage(pool);
    const other = await pool.connect();
    await other.query('begin');
    await other.query("update emails set status = 'sent' where id = $1", [id]);
    const taken = claims.take([id]);
    await untilSomebodyWaits(pool);
    await other.query('commit');
    other.release();
    assert.deepEqual(await taken, []);
  });

  it('stays with it when a worker of the version before takes what is queued for nobody’s', async t => {
    const { pool, claims } = await start(t);
    const [id] = (await storeMany(pool, 1)) as [string];
    const [claim] = (await claims.take([id])) as [Claim];
    const takeAsBefore = () =>
      pool.query(
        `insert into smtp_relay_claims (email_id, worker, token, try, until)
         values ($1, 'old', gen_random_uuid(), 0, now() + interval '1 min')
         on conflict (email_id) do update
            set worker = excluded.worker, token = excluded.token, until = excluded.until, claimed_at = now()`,
        [id],
      );
    assert.equal((await takeAsBefore()).rowCount, 0);
    assert.equal(await claims.beginSending(claim, ['to@example.com']), true);
    await pool.query("update smtp_relay_claims set until = now() - interval '1 s'");
    assert.equal((await takeAsBefore()).rowCount, 1);
  });
});

async function untilSomebodyWaits(pool: Parameters<typeof storeMessage>[0]): Promise<void> {
  const waiting = `select from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = current_database()`;
  while ((await pool.query(waiting)).rowCount === 0);
}

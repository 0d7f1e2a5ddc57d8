import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { countLeft } from '../../queue/sqs-jobs.ts';
import { eventually } from '../../support/eventually.ts';
import { createQueue } from '../../support/queue.ts';
import { createFleet } from './support/fleet.ts';

const WAITING = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
const TAKEN = 'select from smtp_relay_outbox where leased_until > now()';

describe('a worker that is told to stop', { concurrency: 2 }, () => {
  for (const withQueue of [true, false]) {
    it(`finishes what it sends and hands back the rest, ${withQueue ? 'with' : 'without'} a queue`, async t => {
      const queue = withQueue ? await createQueue(t) : null;
      // Nothing is taken over by the end of a lease, and no call is cut off.
      const env = {
        SMTP_RELAY_WORKER_LEASE_TIME: '10m',
        SMTP_RELAY_SHUTDOWN_TIMEOUT: '10m',
        SMTP_RELAY_SES_TIMEOUT: '10m',
      };
      const fleet = await createFleet(t, { queue, env });
      const answer = Promise.withResolvers<void>();
      fleet.plan({ kind: 'delay', until: answer.promise });
      // All are there before it looks, so that it takes them together.
      const ids = [await fleet.store(), await fleet.store(), await fleet.store(), await fleet.store()];
      await fleet.publish();
      // One that looked at the moment of the signal could take over what it has just handed back.
      const seldom = { SMTP_RELAY_WORKER_POLL_INTERVAL: '10m' };
      const first = await fleet.spawn({ SMTP_RELAY_WORKER_CONCURRENCY: '1', ...seldom });
      await fleet.called(1);
      // It has the jobs of the others, which wait unclaimed for the only place.
      if (queue) await eventually(async () => (await countLeft(queue.url)).waiting === 0);
      else await eventually(async () => (await fleet.db.query(TAKEN)).rowCount === 4);
      const { rows } = await fleet.db.query("select email_id as id from smtp_relay_claims where state = 'sending'");
      const underway: string = rows[0].id;
      const waiting = ids.filter(id => id !== underway);
      const second = await fleet.spawn();

      first.child.kill('SIGTERM');
      // The call is still under way: nobody waits for its end.
      await Promise.all(waiting.map(id => fleet.until(id, 'sent')));
      answer.resolve();
      assert.equal(await first.ended, 0);
      await fleet.until(underway, 'sent');
      for (const id of ids) assert.equal(fleet.received(id).length, 1);
      assert.equal(await second.end('SIGTERM'), 0);
    });
  }

  it('gives up a call that takes too long, whose outcome is then unknown', async t => {
    // The transport itself would wait for longer than a test may last.
    const env = { SMTP_RELAY_SHUTDOWN_TIMEOUT: '10s', SMTP_RELAY_SES_TIMEOUT: '10m' };
    const fleet = await createFleet(t, { queue: null, env });
    const worker = await fleet.spawn();
    fleet.plan({ kind: 'timeout' });
    const id = await fleet.store();
    await fleet.called(1);
    assert.equal(await worker.end('SIGTERM'), 0);
    const { row, attempts } = await fleet.story(id);
    assert.deepEqual([row.status, attempts[0]?.outcome], ['queued', 'unknown']);
  });

  it('gives up what a lock holds up in the database, and exits with 0', async t => {
    // A statement may take longer than a test may last.
    const env = { SMTP_RELAY_SHUTDOWN_TIMEOUT: '1s', SMTP_RELAY_DATABASE_STATEMENT_TIMEOUT: '10m' };
    const fleet = await createFleet(t, { queue: null, env });
    const worker = await fleet.spawn();
    const other = await fleet.db.connect();
    try {
      await other.query('begin; lock table smtp_relay_claims, smtp_relay_outbox in access exclusive mode');
      await eventually(async () => (await fleet.db.query(WAITING)).rowCount !== 0);
      assert.equal(await worker.end('SIGTERM'), 0);
    } finally {
      other.release(true);
    }
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createQueue } from '../../support/queue.ts';
import { createFleet, untilClaimed } from './support/fleet.ts';

const HANDED_BACK_WITHIN = 2_000;

describe('a worker that is told to stop', { concurrency: 2 }, () => {
  for (const withQueue of [true, false]) {
    it(`finishes what it sends and hands back the rest, ${withQueue ? 'with' : 'without'} a queue`, async t => {
      const queue = withQueue ? await createQueue(t) : null;
      // A lease so long that nothing is taken over by its end.
      const fleet = await createFleet(t, { queue, env: { SMTP_RELAY_WORKER_LEASE_TIME: '60s' } });
      const first = await fleet.spawn({ SMTP_RELAY_WORKER_CONCURRENCY: '1' });
      fleet.plan({ kind: 'delay', delayMs: 4_000 });
      const underway = await fleet.store();
      await fleet.called(1);
      const waiting = [await fleet.store(), await fleet.store(), await fleet.store()];
      await untilClaimed(fleet, 3, 'claimed');
      const second = await fleet.spawn();

      const stopping = performance.now();
      first.child.kill('SIGTERM');
      await Promise.all(waiting.map(id => fleet.until(id, 'sent')));
      assert.ok(performance.now() - stopping < HANDED_BACK_WITHIN, `took ${performance.now() - stopping} ms`);
      assert.equal(await first.ended, 0);
      assert.ok(performance.now() - stopping < 8_000, 'within shutdownTimeout');
      await fleet.until(underway, 'sent');
      for (const id of [underway, ...waiting]) assert.equal(fleet.received(id).length, 1);
      assert.equal(await second.end('SIGTERM'), 0);
    });
  }

  it('gives up a call that takes too long, whose outcome is then unknown', async t => {
    const fleet = await createFleet(t, { queue: null, env: { SMTP_RELAY_SHUTDOWN_TIMEOUT: '1s' } });
    const worker = await fleet.spawn();
    fleet.plan({ kind: 'timeout' });
    const id = await fleet.store();
    await fleet.called(1);
    const stopping = performance.now();
    assert.equal(await worker.end('SIGTERM'), 0);
    assert.ok(performance.now() - stopping < 3_000, `took ${performance.now() - stopping} ms`);
    const { row, attempts } = await fleet.story(id);
    assert.deepEqual([row.status, attempts[0]?.outcome], ['queued', 'unknown']);
  });
});

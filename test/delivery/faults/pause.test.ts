import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { createFleet, outcomesOf, untilClaimed } from './support/fleet.ts';

describe('a worker that is paused past its leases', () => {
  it('writes nothing over the new owner, and begins no call with a claim that it has lost', async t => {
    const fleet = await createFleet(t, { queue: null });
    const first = await fleet.spawn({ SMTP_RELAY_WORKER_CONCURRENCY: '1' });
    const answer = Promise.withResolvers<void>();
    fleet.plan({ kind: 'delay', until: answer.promise });
    const underway = await fleet.store({ userId: 'a' });
    await fleet.called(1);
    // The only place is taken: these are claimed and wait for their turn.
    const waiting = [await fleet.store({ userId: 'b' }), await fleet.store({ userId: 'c' })];
    await untilClaimed(fleet, 2, 'claimed');
    first.child.kill('SIGSTOP');
    answer.resolve();

    fleet.plan({ kind: 'error', status: 400, name: 'MessageRejected', message: 'Email is contaminated.' });
    const second = await fleet.spawn();
    // One of them is refused when the second worker sends it, the others are sent.
    await eventually(async () => {
      const { rows } = await fleet.db.query("select from emails where status in ('sent', 'failed')");
      return rows.length === 3;
    });
    const before = await Promise.all([underway, ...waiting].map(fleet.story));
    assert.equal(before.filter(({ row }) => row.status === 'failed').length, 1);
    const calls = fleet.calls;

    first.child.kill('SIGCONT');
    await eventually(() => first.logs.filter(({ msg }) => /another worker's by now/.test(msg)).length === 3);
    assert.deepEqual(await Promise.all([underway, ...waiting].map(fleet.story)), before);
    assert.equal(fleet.calls, calls, 'no further call');
    assert.deepEqual(outcomesOf(before[0] as (typeof before)[0])[0], 'unknown');

    const later = await fleet.store();
    await fleet.until(later, 'sent');
    assert.equal(await second.end('SIGTERM'), 0);
    assert.equal(await first.end('SIGTERM'), 0);
  });
});

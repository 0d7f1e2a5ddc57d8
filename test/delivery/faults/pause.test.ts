import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { createFleet, outcomesOf, untilClaimed } from './support/fleet.ts';

describe('a worker that is paused past its leases', () => {
  it('writes nothing but the answer that it got over the new owner, and begins no call for what another has sent meanwhile', async t => {
    const fleet = await createFleet(t, { queue: null });
    const first = await fleet.spawn({ SMTP_RELAY_WORKER_CONCURRENCY: '1' });
    const answer = Promise.withResolvers<void>();
    fleet.plan({ kind: 'delay', until: answer.promise });
    const underway = await fleet.store({ userId: 'a' });
    await fleet.called(1);
    // The only place is taken: it has the jobs of these, which wait for their turn unclaimed.
    const waiting = [await fleet.store({ userId: 'b' }), await fleet.store({ userId: 'c' })];
    await eventually(async () => {
      const taken = 'select from smtp_relay_outbox where email_id = any($1) and leased_until > now()';
      return (await fleet.db.query(taken, [waiting])).rowCount === 2;
    });
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
    await eventually(() => first.logs.some(({ msg }) => /another worker's by now/.test(msg)));
    const after = await Promise.all([underway, ...waiting].map(fleet.story));
    assert.deepEqual(after.slice(1), before.slice(1));
    assert.deepEqual(outcomesOf(after[0] as (typeof after)[0]), [
      ...outcomesOf(before[0] as (typeof before)[0]),
      'sent',
    ]);
    assert.equal(after[0]?.row.status, before[0]?.row.status);
    assert.equal(fleet.calls, calls, 'no further call');
    assert.deepEqual(outcomesOf(before[0] as (typeof before)[0])[0], 'unknown');

    const later = await fleet.store();
    await fleet.until(later, 'sent');
    assert.equal(await second.end('SIGTERM'), 0);
    assert.equal(await first.end('SIGTERM'), 0);
  });

  it('ends the hold of a message that was held since nobody knew: it knows', async t => {
    const fleet = await createFleet(t, { queue: null, env: { SMTP_RELAY_ON_UNKNOWN_OUTCOME: 'hold' } });
    const first = await fleet.spawn();
    const answer = Promise.withResolvers<void>();
    fleet.plan({ kind: 'delay', until: answer.promise });
    const id = await fleet.store();
    await fleet.called(1);
    first.child.kill('SIGSTOP');
    answer.resolve();
    await fleet.spawn();
    await untilClaimed(fleet, 1, 'held');
    first.child.kill('SIGCONT');
    const story = await fleet.until(id, 'sent');
    assert.deepEqual(outcomesOf(story), ['unknown', 'sent']);
    assert.deepEqual(
      story.events.map(({ type }) => type),
      ['sent'],
    );
    assert.equal(fleet.calls, 1);
  });
});

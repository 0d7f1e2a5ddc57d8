import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createThreadedSqsSource } from '../../src/queue/sqs/threads/threaded-source.ts';
import { startFaultySqs } from '../faults/support/faulty-sqs.ts';
import { eventually } from '../support/eventually.ts';
import { createQueue } from '../support/queue.ts';
import { ManualSink } from './manual-sink.ts';
import {
  assertGivesBackAtStop,
  assertTakesEachOnce,
  endpoint,
  isEmpty,
  job,
  manyJobs,
  publish,
  startSource,
} from './sqs-jobs.ts';

describe('createThreadedSqsSource', { concurrency: true }, () => {
  it('takes each job once, deletes it, and counts', t => assertTakesEachOnce(t, createThreadedSqsSource));

  it('gives back at once what it could not finish when it stops', t =>
    assertGivesBackAtStop(t, createThreadedSqsSource));

  it('brings no more than there is room for, and more as soon as there is', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, manyJobs(60));
    const sink = new ManualSink(25);
    startSource(t, createThreadedSqsSource, queue.url, sink, { leaseTime: 60_000 });
    await eventually(() => sink.taken.length === 25);
    sink.end('done', [sink.taken[0]?.emailId ?? '']);
    await eventually(() => sink.taken.length === 26);
    await eventually(async () => {
      sink.end('done');
      return await isEmpty(queue.url);
    });
    assert.equal(sink.taken.length, 60);
    assert.equal(sink.most, 25);
  });

  it('logs as the rest of the room does, and goes on when jobs can be handled again', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, [job()]);
    let works = false;
    let handled = 0;
    const { lines } = startSource(t, createThreadedSqsSource, queue.url, async jobs => {
      if (!works) throw new Error('the database is away');
      handled += jobs.length;
      return jobs.map(() => 'done' as const);
    });
    const line = await eventually(() => lines[0]);
    assert.deepEqual(
      [line?.level, line?.room, line?.msg, line?.err?.message],
      [40, 'queue', 'jobs cannot be handled', 'the database is away'],
    );
    works = true;
    await eventually(() => handled === 1);
    await eventually(() => lines.some(({ msg }) => msg === 'jobs cannot be handled: is over'));
  });

  it('stops soon though the queue cannot be reached', async t => {
    const queue = await createQueue(t);
    const faulty = await startFaultySqs(t, endpoint);
    await faulty.down();
    const { source, lines } = startSource(
      t,
      createThreadedSqsSource,
      queue.url,
      async jobs => jobs.map(() => 'done' as const),
      {
        endpoint: faulty.endpoint,
      },
    );
    await eventually(() => lines.some(({ msg }) => msg === 'the queue cannot be reached'));
    const before = performance.now();
    await source.stop();
    // Long before a call to the queue would be given up.
    assert.ok(performance.now() - before < 8_000);
  });
});

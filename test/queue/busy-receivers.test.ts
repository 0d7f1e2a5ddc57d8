import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { createQueue } from '../support/queue.ts';
import { job, publish, startSource } from './sqs-jobs.ts';

it('goes on asking while all that are awake are busy', async t => {
  const queue = await createQueue(t);
  const finish = Promise.withResolvers<void>();
  let taken = 0;
  startSource(
    t,
    queue.url,
    async jobs => {
      taken += jobs.length;
      await finish.promise;
      return jobs.map(() => 'done' as const);
    },
    { leaseTime: 600_000 },
  );
  try {
    await sleep(3_000);
    for (let count = 1; count <= 4; count += 1) {
      await publish(queue.url, [job()]);
      await eventually(() => taken === count);
      // Longer than a receiver waits for messages: those that have none come to rest.
      await sleep(2_500);
    }
  } finally {
    finish.resolve();
  }
  assert.equal(taken, 4);
});

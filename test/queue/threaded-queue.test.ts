import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createThreadedSqsQueue } from '../../src/queue/sqs/threads/threaded-queue.ts';
import { startFaultySqs } from '../faults/support/faulty-sqs.ts';
import { createQueue } from '../support/queue.ts';
import { endpoint, job } from './sqs-jobs.ts';

/** Enough for an idle thread to hear that a connection has ended. */
const QUIET = 500;

it('publishes at once after a while without mail, in which the other end has closed the connection', async t => {
  const real = await createQueue(t);
  const sqs = await startFaultySqs(t, endpoint);
  const settings = { region: 'us-east-1', connections: 2, fairQueue: true };
  const queue = createThreadedSqsQueue({ ...settings, queueUrl: real.url, endpoint: sqs.endpoint });
  t.after(async () => queue.close());
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(await queue.send([job()], 30_000), []);
    await sleep(QUIET);
    sqs.closeIdleConnections();
    await sleep(QUIET);
  }
});

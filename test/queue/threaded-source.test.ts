import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { env } from 'node:process';
import { after, describe, it } from 'node:test';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { sqsClient } from '../../src/dev/sqs.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import type { HandleJobs } from '../../src/queue/job-source.ts';
import { createQueueMetrics } from '../../src/queue/metrics.ts';
import { createSqsQueue } from '../../src/queue/sqs.ts';
import { createThreadedSqsSource } from '../../src/queue/threaded-source.ts';
import { startFaultySqs } from '../faults/support/faulty-sqs.ts';
import { shared } from '../support/environment.ts';
import { eventually } from '../support/eventually.ts';
import { createQueue, sqsEnv } from '../support/queue.ts';

// The AWS SDK finds its credentials nowhere else.
const { AWS_ENDPOINT_URL_SQS: endpoint, ...credentials } = sqsEnv();
Object.assign(env, credentials);

const client = sqsClient(shared('sqsEndpoint'));
after(() => client.destroy());

interface TestContext {
  after(fn: () => Promise<void>): void;
}

async function publish(queueUrl: string, count: number): Promise<string[]> {
  const queue = createSqsQueue({ queueUrl, region: 'us-east-1', endpoint, connections: 1, fairQueue: true });
  const ids = { correlationId: 'c'.repeat(32), traceparent: '' };
  const jobs = Array.from({ length: count }, () => {
    return { emailId: randomUUID(), userId: 'acme', try: 0, ...ids, requestedAt: new Date() };
  });
  for (let start = 0; start < count; start += 10) await queue.send(jobs.slice(start, start + 10), 5_000);
  queue.close();
  return jobs.map(({ emailId }) => emailId);
}

async function countLeft(queueUrl: string): Promise<{ waiting: number; underWay: number }> {
  const request = new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['All'] });
  const { Attributes } = await client.send(request);
  return {
    waiting: Number(Attributes?.ApproximateNumberOfMessages),
    underWay: Number(Attributes?.ApproximateNumberOfMessagesNotVisible),
  };
}

function startSource(t: TestContext, queueUrl: string, handle: HandleJobs, at = endpoint) {
  const lines: { level: number; room: string; msg: string; err?: { message: string } }[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const logger = createLogger({ level: 'info', format: 'json', destination }).child({ room: 'queue' });
  const registry = createRegistry();
  const options = { queueUrl, region: 'us-east-1', endpoint: at, consumers: 4, leaseTime: 3_000 };
  const source = createThreadedSqsSource({ options, handle, logger, metrics: createQueueMetrics(registry) });
  source.start();
  t.after(() => source.stop());
  return { source, lines, registry };
}

describe('createThreadedSqsSource', { concurrency: true }, () => {
  it('takes each job once, deletes it, and counts', async t => {
    const queue = await createQueue(t);
    const sent = await publish(queue.url, 35);
    const taken: string[] = [];
    const { registry } = startSource(t, queue.url, async jobs => {
      taken.push(...jobs.map(({ emailId }) => emailId));
      return jobs.map(() => true);
    });
    await eventually(async () => {
      const { waiting, underWay } = await countLeft(queue.url);
      return waiting + underWay === 0;
    });
    assert.deepEqual(taken.sort(), sent.sort());
    const text = await registry.metrics();
    assert.match(text, /^smtp_relay_jobs_received_total\{kind="job"\} 35$/m);
    assert.match(text, /^smtp_relay_jobs_handled_total\{outcome="done"\} 35$/m);
  });

  it('gives back at once what it could not finish when it stops', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, 20);
    let end = (): void => {};
    const ended = new Promise<void>(resolve => (end = resolve));
    let taken = 0;
    const { source } = startSource(t, queue.url, async jobs => {
      taken += jobs.length;
      await ended;
      return jobs.map((_, index) => index === 0);
    });
    await eventually(() => taken === 20);
    const stopping = source.stop();
    end();
    await stopping;
    assert.deepEqual(await countLeft(queue.url), { waiting: 18, underWay: 0 });
  });

  it('logs as the rest of the room does, and goes on when jobs can be handled again', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, 1);
    let works = false;
    let handled = 0;
    const { lines } = startSource(t, queue.url, async jobs => {
      if (!works) throw new Error('the database is away');
      handled += jobs.length;
      return jobs.map(() => true);
    });
    const line = await eventually(() => lines[0]);
    assert.deepEqual(
      [line?.level, line?.room, line?.msg, line?.err?.message],
      [40, 'queue', 'jobs cannot be handled', 'the database is away'],
    );
    works = true;
    await eventually(() => handled === 1, 8_000);
    await eventually(() => lines.some(({ msg }) => msg === 'jobs cannot be handled: is over'));
  });

  it('stops soon though the queue cannot be reached', async t => {
    const queue = await createQueue(t);
    const faulty = await startFaultySqs(t, endpoint);
    await faulty.down();
    const { source, lines } = startSource(t, queue.url, async jobs => jobs.map(() => true), faulty.endpoint);
    await eventually(() => lines.some(({ msg }) => msg === 'the queue cannot be reached'));
    const before = performance.now();
    await source.stop();
    assert.ok(performance.now() - before < 2_000);
  });
});

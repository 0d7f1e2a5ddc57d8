import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { env } from 'node:process';
import { after } from 'node:test';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { sqsClient } from '../../dev/sqs.ts';
import type { OutboxJob } from '../../src/message/send-job.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import type { JobSink } from '../../src/queue/jobs.ts';
import { createSqsQueue } from '../../src/queue/sqs/queue.ts';
import { createSqsSource, type SqsSourceOptions } from '../../src/queue/sqs/source.ts';
import { createQueueMetrics } from '../../src/queue/telemetry.ts';
import { shared } from '../support/environment.ts';
import { eventually } from '../support/eventually.ts';
import { createQueue, sqsEnv } from '../support/queue.ts';
import { BatchSink, type HandleJobs } from './batch-sink.ts';
import { ManualSink } from './manual-sink.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface LogLine {
  readonly level: number;
  readonly room: string;
  readonly msg: string;
  readonly reason?: string;
  readonly err?: { readonly message: string };
}

// The AWS SDK finds its credentials nowhere else.
const { AWS_ENDPOINT_URL_SQS, ...credentials } = sqsEnv();
Object.assign(env, credentials);

export const endpoint = AWS_ENDPOINT_URL_SQS;
export const client = sqsClient(shared('sqsEndpoint'));
after(() => client.destroy());

export function job(overrides: Partial<OutboxJob> = {}): OutboxJob {
  const ids = { correlationId: 'c'.repeat(32), traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
  return { emailId: randomUUID(), userId: 'acme', try: 0, ...ids, requestedAt: new Date(), ...overrides };
}

export function manyJobs(count: number): OutboxJob[] {
  return Array.from({ length: count }, () => job());
}

export async function publish(queueUrl: string, jobs: readonly OutboxJob[]): Promise<void> {
  const queue = createSqsQueue({ queueUrl, region: 'us-east-1', endpoint, connections: 1, fairQueue: true });
  for (let start = 0; start < jobs.length; start += 10) {
    assert.deepEqual(await queue.send(jobs.slice(start, start + 10), 60_000), []);
  }
  queue.close();
}

/** Messages that a queue has: waiting, and under way. */
export async function countLeft(queueUrl: string): Promise<{ waiting: number; underWay: number }> {
  const request = new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['All'] });
  const { Attributes } = await client.send(request);
  return {
    waiting: Number(Attributes?.ApproximateNumberOfMessages),
    underWay: Number(Attributes?.ApproximateNumberOfMessagesNotVisible),
  };
}

export async function isEmpty(queueUrl: string): Promise<boolean> {
  const { waiting, underWay } = await countLeft(queueUrl);
  return waiting + underWay === 0;
}

/** Starts a source on the queue. Stopped with the test. */
export function startSource(
  t: TestContext,
  queueUrl: string,
  handler: HandleJobs | JobSink,
  options: Partial<SqsSourceOptions> = {},
) {
  const lines: LogLine[] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const logger = createLogger({ level: 'info', format: 'json', destination }).child({ room: 'queue' });
  const registry = createRegistry();
  const defaults = { queueUrl, region: 'us-east-1', endpoint, consumers: 4, leaseTime: 3_000 };
  const metrics = createQueueMetrics(registry);
  const all = { ...defaults, ...options };
  const sink =
    typeof handler === 'function' ? new BatchSink({ handle: handler, limit: all.consumers * 10, logger }) : handler;
  const source = createSqsSource({ options: all, sink, logger, metrics });
  source.start();
  t.after(async () => {
    // Who stops waits for what is in hand.
    if (handler instanceof ManualSink) handler.close();
    await source.stop();
  });
  return { source, lines, registry };
}

/** Every job of a queue is taken once, with its trace, then deleted, and counted. */
export async function assertTakesEachOnce(t: TestContext, fifo = false): Promise<void> {
  const queue = await createQueue(t, { fifo });
  const sent = manyJobs(35);
  await publish(queue.url, sent);
  const taken = new Map<string, readonly string[]>();
  const { registry } = startSource(t, queue.url, async jobs => {
    for (const { emailId, correlationId, traceparent } of jobs) {
      assert.ok(!taken.has(emailId), 'taken twice');
      taken.set(emailId, [correlationId, traceparent]);
    }
    return jobs.map(() => 'done' as const);
  });
  await eventually(() => isEmpty(queue.url));
  assert.deepEqual(
    taken,
    new Map(sent.map(({ emailId, correlationId, traceparent }) => [emailId, [correlationId, traceparent]])),
  );
  const text = await registry.metrics();
  assert.match(text, /^smtp_relay_jobs_received_total\{kind="job"\} 35$/m);
  assert.match(text, /^smtp_relay_jobs_handled_total\{outcome="done"\} 35$/m);
}

/** What could not be finished when the source stops is free for others at once; the rest is deleted. */
export async function assertGivesBackAtStop(t: TestContext): Promise<void> {
  const queue = await createQueue(t);
  await publish(queue.url, manyJobs(20));
  const ended = Promise.withResolvers<void>();
  let taken = 0;
  const { source } = startSource(t, queue.url, async batch => {
    taken += batch.length;
    await ended.promise;
    return batch.map((_, index) => (index === 0 ? 'done' : 'left'));
  });
  await eventually(() => taken === 20);
  const stopping = source.stop();
  ended.resolve();
  await stopping;
  assert.deepEqual(await countLeft(queue.url), { waiting: 18, underWay: 0 });
}

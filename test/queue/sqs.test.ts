import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { env } from 'node:process';
import { buffer } from 'node:stream/consumers';
import { after, describe, it } from 'node:test';
import type { OutboxJob } from '../../src/message/send-job.ts';
import { createSqsQueue, type SqsOptions } from '../../src/queue/sqs/queue.ts';
import { startFaultySqs } from '../faults/support/faulty-sqs.ts';
import { createQueue, sqsEnv } from '../support/queue.ts';

// The AWS SDK finds its credentials nowhere else.
const { AWS_ENDPOINT_URL_SQS: endpoint, ...credentials } = sqsEnv();
Object.assign(env, credentials);

const real = await createQueue({ after });
const fifo = await createQueue({ after }, { fifo: true });
const faulty = await startFaultySqs({ after }, endpoint);
const LIMIT = 60_000;

function job(overrides: Partial<OutboxJob> = {}): OutboxJob {
  return {
    emailId: randomUUID(),
    userId: 'acme',
    try: 0,
    correlationId: 'c0ffee00c0ffee00c0ffee00c0ffee00',
    traceparent: '00-c0ffee00c0ffee00c0ffee00c0ffee00-c0ffee00c0ffee00-01',
    requestedAt: new Date('2026-01-02T03:04:05.678Z'),
    ...overrides,
  };
}

function open(options: Partial<SqsOptions> = {}) {
  const defaults = { queueUrl: real.url, region: 'us-east-1', endpoint: null, connections: 2, fairQueue: true };
  return createSqsQueue({ ...defaults, ...options });
}

interface RecordedEntry {
  readonly Id: string;
  readonly MessageGroupId?: string;
  readonly MessageDeduplicationId?: string;
}

/** Takes every job, and keeps what it was told of each. */
async function startRecorder(t: { after(fn: () => void): void }) {
  const calls: RecordedEntry[][] = [];
  const server = createServer(async (request, response) => {
    const { Entries } = JSON.parse((await buffer(request)).toString()) as { Entries: RecordedEntry[] };
    calls.push(Entries);
    const Successful = Entries.map(({ Id }) => ({ Id, MessageId: Id, MD5OfMessageBody: '' }));
    response.writeHead(200, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify({ Successful }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { calls, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe('createSqsQueue', () => {
  it('publishes the job as the contract says', async () => {
    const queue = open();
    const sent = job();
    assert.deepEqual(await queue.send([sent], LIMIT), []);
    const [message] = await real.receiveAll();
    assert.deepEqual(JSON.parse(message?.Body ?? ''), {
      id: `email.send:${sent.emailId}`,
      type: 'email.send',
      source: 'api',
      emailId: sent.emailId,
      requestedAt: '2026-01-02T03:04:05.678Z',
      trace: { traceparent: sent.traceparent, correlationId: sent.correlationId },
    });
    const attributes = Object.entries(message?.MessageAttributes ?? {});
    assert.deepEqual(
      Object.fromEntries(attributes.map(([name, { DataType, StringValue }]) => [name, `${DataType} ${StringValue}`])),
      {
        jobId: `String email.send:${sent.emailId}`,
        jobType: 'String email.send',
        source: 'String api',
        correlationId: `String ${sent.correlationId}`,
        traceparent: `String ${sent.traceparent}`,
      },
    );
    queue.close();
  });

  it('names group and deduplication id on a FIFO queue, so that a second publishing is swallowed', async () => {
    const queue = open({ queueUrl: fifo.url });
    const sent = job();
    await queue.send([sent], LIMIT);
    await queue.send([sent], LIMIT);
    await queue.send([{ ...sent, try: 2 }], LIMIT);
    const attributes = (await fifo.receiveAll()).map(message => message.Attributes ?? {});
    assert.deepEqual(
      attributes.map(({ MessageGroupId, MessageDeduplicationId }) => [MessageGroupId, MessageDeduplicationId]),
      [
        ['email.send', `email.send:${sent.emailId}`],
        ['email.send', `email.send:${sent.emailId}#2`],
      ],
    );
    queue.close();
  });

  it('names the owner as message group on a standard queue, unless it shall not', async t => {
    // The emulator takes message groups on standard queues, but forgets them.
    const recorder = await startRecorder(t);
    const users = ['acme', 'user_1|x@y', 'Zoë', 'two words', 'x'.repeat(129), 'email.send', null];
    const jobs = users.map(userId => job({ userId }));
    for (const fairQueue of [true, false]) {
      const queue = open({ endpoint: recorder.endpoint, fairQueue });
      assert.deepEqual(await queue.send(jobs, LIMIT), []);
      queue.close();
    }
    const [fair = [], plain = []] = recorder.calls.map(entries => entries.map(entry => entry.MessageGroupId));
    assert.deepEqual(fair.slice(0, 2), users.slice(0, 2));
    const hashed = fair.slice(2, 6);
    assert.ok(
      hashed.every(group => /^sha256:[0-9a-f]{64}$/.test(group ?? '')),
      hashed.join(),
    );
    assert.equal(new Set(hashed).size, 4);
    assert.equal(fair[6], undefined);
    assert.deepEqual(new Set(plain), new Set([undefined]));
    assert.ok(recorder.calls.flat().every(entry => entry.MessageDeduplicationId === undefined));
  });

  it('finds a queue whose host does not resolve, at the endpoint it is told', async () => {
    const { pathname } = new URL(real.url);
    const queue = open({ queueUrl: `http://sqs.us-east-1.nowhere.invalid:4566${pathname}`, endpoint });
    assert.deepEqual(await queue.send([job()], LIMIT), []);
    assert.equal((await real.receiveAll()).length, 1);
    queue.close();
  });

  it('says which jobs were refused under HTTP 200, and only those', async () => {
    const queue = open({ endpoint: faulty.endpoint });
    faulty.behaviour = 'refusesSome';
    const jobs = [job(), job(), job()];
    const refused = await queue.send(jobs, LIMIT);
    assert.deepEqual(
      refused.map(({ job: { emailId }, reason }) => [emailId, reason]),
      [jobs[0], jobs[2]].map(each => [each?.emailId, 'InternalError: try again']),
    );
    assert.equal((await real.receiveAll()).length, 1);
    queue.close();
  });

  it('takes jobs for refused that the answer does not name', async () => {
    const queue = open({ endpoint: faulty.endpoint });
    faulty.behaviour = 'empty';
    const jobs = [job(), job()];
    assert.deepEqual(
      (await queue.send(jobs, LIMIT)).map(refused => refused.job),
      jobs,
    );
    queue.close();
  });

  it('rejects at HTTP 500, without trying again itself', async () => {
    const queue = open({ endpoint: faulty.endpoint });
    faulty.behaviour = 'fails';
    const before = faulty.calls;
    await assert.rejects(queue.send([job()], LIMIT));
    assert.equal(faulty.calls, before + 1);
    queue.close();
  });

  for (const behaviour of ['hangs', 'stalls'] as const) {
    it(`gives up an endpoint that ${behaviour}, within the time it has`, async () => {
      const queue = open({ endpoint: faulty.endpoint });
      faulty.behaviour = behaviour;
      const start = performance.now();
      await assert.rejects(queue.send([job()], 700));
      const took = performance.now() - start;
      // The client of the SDK would give up after five seconds.
      assert.ok(took >= 650 && took < 5_000, `${took} ms`);
      queue.close();
    });
  }

  it('rejects where nobody listens', async () => {
    const queue = open({ endpoint: faulty.endpoint });
    await faulty.down();
    await assert.rejects(queue.send([job()], LIMIT));
    await faulty.up();
    queue.close();
  });
});

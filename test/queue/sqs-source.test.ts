import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs';
import type { SendJob } from '../../src/message/send-job.ts';
import { startFaultySqs } from '../faults/support/faulty-sqs.ts';
import { eventually } from '../support/eventually.ts';
import { createQueue } from '../support/queue.ts';
import type { HandleJobs } from './batch-sink.ts';
import { ManualSink } from './manual-sink.ts';
import {
  assertGivesBackAtStop,
  assertTakesEachOnce,
  client,
  countLeft,
  endpoint,
  isEmpty,
  job,
  manyJobs,
  publish,
  startSource,
} from './sqs-jobs.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

function collector(): { readonly jobs: SendJob[]; readonly handle: HandleJobs } {
  const jobs: SendJob[] = [];
  return {
    jobs,
    handle: async batch => {
      jobs.push(...batch);
      return batch.map(() => 'done' as const);
    },
  };
}

async function createDeadLetterQueue(t: TestContext, queueUrl: string, fifo = false): Promise<string> {
  const name = `test-dlq-${randomUUID()}${fifo ? '.fifo' : ''}`;
  const attributes = fifo ? { Attributes: { FifoQueue: 'true' } } : {};
  const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: name, ...attributes }));
  const url = new URL(new URL(QueueUrl ?? '').pathname, endpoint).href;
  t.after(async () => void (await client.send(new DeleteQueueCommand({ QueueUrl: url }))));
  const { Attributes } = await client.send(
    new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }),
  );
  const policy = JSON.stringify({ deadLetterTargetArn: Attributes?.QueueArn, maxReceiveCount: 2 });
  await client.send(new SetQueueAttributesCommand({ QueueUrl: queueUrl, Attributes: { RedrivePolicy: policy } }));
  return url;
}

/** Milliseconds. A machine that stands still for a third of it loses no message: it is renewed when another third is over. */
const LEASE = 9_000;

describe('createSqsSource', { concurrency: true }, () => {
  for (const fifo of [false, true]) {
    it(`takes each job of a ${fifo ? 'FIFO' : 'standard'} queue once, and deletes it`, t =>
      assertTakesEachOnce(t, fifo));

    it(`moves what is no job to the dead-letter queue of a ${fifo ? 'FIFO' : 'standard'} queue, jobs first`, async t => {
      const queue = await createQueue(t, { fifo });
      const dead = await createDeadLetterQueue(t, queue.url, fifo);
      const id = randomUUID();
      const bodies = [
        'not JSON at all: secret',
        '{}',
        '"text"',
        '{"type":"email.send"}',
        `{"type":"email.send","emailId":"${id}x"}`,
      ];
      for (const [index, MessageBody] of bodies.entries()) {
        const place = fifo ? { MessageGroupId: 'email.send', MessageDeduplicationId: String(index) } : {};
        await client.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody, ...place }));
      }
      await publish(queue.url, [job()]);
      const { jobs, handle } = collector();
      const { lines } = startSource(t, queue.url, handle, { leaseTime: 600_000 });
      await eventually(async () => (await countLeft(dead)).waiting === bodies.length);
      assert.equal(jobs.length, 1);
      const said = lines.filter(({ msg }) => /no job/.test(msg));
      assert.equal(said.length, bodies.length * 2, 'once for each time that it was received');
      assert.doesNotMatch(JSON.stringify(lines), /secret/);
    });
  }

  it('leaves jobs of other types, hidden for as long as its own', async t => {
    const queue = await createQueue(t);
    const body = JSON.stringify({ id: 'x', type: 'webhook.dispatch', source: 'api' });
    await client.send(new SendMessageCommand({ QueueUrl: queue.url, MessageBody: body }));
    await publish(queue.url, [job()]);
    const { jobs, handle } = collector();
    const { source, registry } = startSource(t, queue.url, handle, { leaseTime: 3_000 });
    await eventually(() => jobs.length === 1);
    await source.stop();
    assert.match(await registry.metrics(), /^smtp_relay_jobs_received_total\{kind="other"\} 1$/m);
    const again = await client.send(new ReceiveMessageCommand({ QueueUrl: queue.url, WaitTimeSeconds: 5 }));
    assert.equal(again.Messages?.[0]?.Body, body);
    assert.equal(again.Messages?.length, 1);
  });

  for (const fifo of [false, true]) {
    it(`leaves jobs of others' messages on a ${fifo ? 'FIFO' : 'standard'} queue, for others to have them soon`, async t => {
      const queue = await createQueue(t, { fifo });
      const [theirs, ours] = [job(), job()];
      // In a FIFO queue, what is behind theirs waits for whoever takes that away.
      await publish(queue.url, [ours, theirs]);
      const seen: string[] = [];
      const moments: number[] = [];
      const { source, registry, lines } = startSource(
        t,
        queue.url,
        async batch => {
          seen.push(...batch.map(({ emailId }) => emailId));
          if (batch.some(({ emailId }) => emailId === theirs.emailId)) moments.push(performance.now());
          return batch.map(({ emailId }) => (emailId === theirs.emailId ? 'foreign' : 'done'));
        },
        { leaseTime: 600_000 },
      );
      await eventually(() => moments.length === 3 && seen.includes(ours.emailId));
      const [, second = 0, third = 0] = moments;
      assert.ok(third - second > 1_000, 'not at each turn');
      await source.stop();
      assert.match(await registry.metrics(), /^smtp_relay_jobs_handled_total\{outcome="foreign"\} 3$/m);
      assert.equal(lines.filter(({ msg }) => /no relay of this database has accepted/.test(msg)).length, 1);
      const left = await eventually(async () => (await queue.receiveAll())[0]);
      assert.equal(JSON.parse(left?.Body ?? '').emailId, theirs.emailId);
    });
  }

  it('takes a retry from a FIFO queue though the first try is remembered there', async t => {
    const queue = await createQueue(t, { fifo: true });
    const first = job();
    const { jobs, handle } = collector();
    startSource(t, queue.url, handle);
    await publish(queue.url, [first]);
    await eventually(() => jobs.length === 1);
    await publish(queue.url, [first]);
    await publish(queue.url, [{ ...first, try: 1 }]);
    await eventually(() => jobs.length === 2);
    assert.ok(await eventually(() => isEmpty(queue.url)));
    assert.equal(jobs.length, 2, 'the first was swallowed, the retry was not');
  });

  it('renews what takes longer than its lease, and deletes only what is done', async t => {
    const queue = await createQueue(t);
    const [done, later] = [job(), job()];
    await publish(queue.url, [done, later]);
    const received: string[] = [];
    let finish = (): void => {};
    const finished = new Promise<void>(resolve => (finish = resolve));
    const handle: HandleJobs = async batch => {
      received.push(...batch.map(({ emailId }) => emailId));
      await finished;
      return batch.map(({ emailId }) => (emailId === done.emailId ? 'done' : 'left'));
    };
    startSource(t, queue.url, handle, { leaseTime: LEASE });
    await eventually(() => received.length === 2);
    await sleep(1.4 * LEASE);
    assert.equal(received.length, 2);
    finish();
    await eventually(() => received.length === 3);
    assert.equal(received[2], later.emailId);
  });

  it('deletes each message by itself, and goes on asking while others take their time', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, manyJobs(60));
    const sink = new ManualSink(40);
    startSource(t, queue.url, sink, { consumers: 1, leaseTime: 60_000 });
    await eventually(() => sink.taken.length === 40);
    const slow = sink.taken.filter((_, index) => index % 10 === 0).map(({ emailId }) => emailId);
    const rest = () => sink.taken.map(({ emailId }) => emailId).filter(emailId => !slow.includes(emailId));
    sink.end('done', rest());
    await eventually(() => sink.taken.length === 60);
    sink.end('done', rest());
    await eventually(async () => (await countLeft(queue.url)).underWay === slow.length);
    assert.equal(sink.most, 40, 'never more than there is room for');
    sink.end('done');
    await eventually(() => isEmpty(queue.url));
  });

  it('renews all that it holds, however much, and takes nothing twice', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, manyJobs(95));
    const sink = new ManualSink(200);
    startSource(t, queue.url, sink, { leaseTime: LEASE });
    await eventually(() => sink.taken.length === 95);
    await sleep(1.4 * LEASE);
    assert.equal(sink.taken.length, 95);
    assert.deepEqual(await countLeft(queue.url), { waiting: 0, underWay: 95 });
    sink.end('done');
    await eventually(() => isEmpty(queue.url));
  });

  it('knows a message that was given out once more while it is held, and deletes it by its last receipt', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, [job()]);
    const faulty = await startFaultySqs(t, endpoint);
    faulty.behaviour = 'unrenewed';
    const sink = new ManualSink();
    startSource(t, queue.url, sink, { endpoint: faulty.endpoint, leaseTime: 3_000 });
    await eventually(() => sink.taken.length === 1);
    await sleep(8_000);
    assert.equal(sink.taken.length, 1);
    sink.end('done');
    await eventually(() => isEmpty(queue.url));
    await sleep(3_500);
    assert.ok(await isEmpty(queue.url));
    assert.equal(sink.taken.length, 1);
  });

  it('lets a job come again when it is said to', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, [job()]);
    const sink = new ManualSink();
    startSource(t, queue.url, sink, { leaseTime: 60_000 });
    await eventually(() => sink.taken.length === 1);
    const began = performance.now();
    sink.end({ againAfter: 2_000 });
    await eventually(() => sink.taken.length === 2);
    const took = performance.now() - began;
    assert.ok(took > 1_500 && took < 40_000, `${took} ms`);
    sink.end('done');
    await eventually(() => isEmpty(queue.url));
  });

  it('gives back at once what it could not finish when it stops', t => assertGivesBackAtStop(t));

  it('goes on by itself when the queue is back, and says so once', async t => {
    const queue = await createQueue(t);
    const faulty = await startFaultySqs(t, endpoint);
    const { jobs, handle } = collector();
    const { lines } = startSource(t, queue.url, handle, { endpoint: faulty.endpoint });
    await publish(queue.url, [job()]);
    await eventually(() => jobs.length === 1);
    await faulty.down();
    await eventually(() => lines.some(({ msg }) => msg === 'the queue cannot be reached'));
    await publish(queue.url, [job()]);
    await faulty.up();
    await eventually(() => jobs.length === 2);
    await eventually(() => isEmpty(queue.url));
    assert.deepEqual(
      lines.map(({ level, msg }) => [level, msg]),
      [
        [40, 'the queue cannot be reached'],
        [30, 'the queue cannot be reached: is over'],
      ],
    );
  });

  it('asks a failing queue ever more seldom', async t => {
    const queue = await createQueue(t);
    const faulty = await startFaultySqs(t, endpoint);
    faulty.behaviour = 'fails';
    const { source } = startSource(t, queue.url, collector().handle, {
      endpoint: faulty.endpoint,
      consumers: 16,
    });
    await sleep(3_000);
    await source.stop();
    // Each call twice: 16 at first, then one after 250 ms, 500 ms, a second …
    assert.ok(faulty.calls <= 2 * (16 + 5), `${faulty.calls} calls`);
  });

  it('takes few jobs while they cannot be handled, and all of them afterwards', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, manyJobs(100));
    let works = false;
    let refused = 0;
    const { lines } = startSource(t, queue.url, async batch => {
      if (works) return batch.map(() => 'done' as const);
      refused += batch.length;
      throw new Error('the database is away');
    });
    await eventually(() => refused > 0);
    const soon = refused;
    assert.ok(soon < 100, 'one batch each, and some more where the machine was slow');
    works = true;
    await eventually(() => isEmpty(queue.url));
    assert.equal(lines.filter(({ msg }) => msg === 'jobs cannot be handled').length, 1);
  });

  it('leaves all but two receivers at rest while the queue is empty, and wakes them for work', async t => {
    const queue = await createQueue(t);
    const faulty = await startFaultySqs(t, endpoint);
    let atOnce = 0;
    let most = 0;
    startSource(
      t,
      queue.url,
      async batch => {
        atOnce += 1;
        most = Math.max(most, atOnce);
        await eventually(() => most === 8).catch(() => {});
        atOnce -= 1;
        return batch.map(() => 'done' as const);
      },
      { endpoint: faulty.endpoint, consumers: 8 },
    );
    await eventually(() => faulty.calls >= 10);
    assert.ok(faulty.calls < 16, 'eight at first, then two at a time');
    await publish(queue.url, manyJobs(80));
    await eventually(() => most === 8);
    await eventually(() => isEmpty(queue.url));
  });

  it('brings no more than there is room for, and more as soon as there is', async t => {
    const queue = await createQueue(t);
    await publish(queue.url, manyJobs(60));
    const sink = new ManualSink(25);
    startSource(t, queue.url, sink, { leaseTime: 60_000 });
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

  it('stops soon though the queue cannot be reached', async t => {
    const queue = await createQueue(t);
    const faulty = await startFaultySqs(t, endpoint);
    await faulty.down();
    const { source, lines } = startSource(t, queue.url, collector().handle, { endpoint: faulty.endpoint });
    await eventually(() => lines.some(({ msg }) => msg === 'the queue cannot be reached'));
    const before = performance.now();
    await source.stop();
    // Long before a call to the queue would be given up.
    assert.ok(performance.now() - before < 8_000);
  });

  it('stops while nothing comes', async t => {
    const queue = await createQueue(t);
    const { source } = startSource(t, queue.url, collector().handle);
    await source.stop();
    await publish(queue.url, [job()]);
    assert.deepEqual(await countLeft(queue.url), { waiting: 1, underWay: 0 });
  });
});

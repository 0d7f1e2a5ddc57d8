import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { env } from 'node:process';
import { describe, it, type TestContext } from 'node:test';
import {
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  SendMessageCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs';
import { createQueue, sqsClient } from '../../dev/sqs.ts';
import { createEventQueue, type EventQueueOptions } from '../../src/queue/event-queue.ts';
import { eventually } from '../support/eventually.ts';
import { sqsEnv } from '../support/queue.ts';
import { inEventBridge, MESSAGE_ID, ses } from './support/ses.ts';
import { SILENT, startEventSystem } from './support/system.ts';

// The AWS SDK finds its credentials nowhere else.
const { AWS_ENDPOINT_URL_SQS: endpoint, ...credentials } = sqsEnv();
Object.assign(env, credentials);
const client = sqsClient(endpoint);

/** A queue of the test's own, whose messages move to a second one when they were received twice. */
async function makeQueue(t: TestContext) {
  const name = `events-${randomBytes(8).toString('hex')}`;
  const deadUrl = await createQueue(endpoint, `${name}-dead`);
  const url = await createQueue(endpoint, name);
  const arnOf = (queue: string) => `arn:aws:sqs:us-east-1:000000000000:${queue}`;
  const redrive = JSON.stringify({ deadLetterTargetArn: arnOf(`${name}-dead`), maxReceiveCount: '2' });
  await client.send(new SetQueueAttributesCommand({ QueueUrl: url, Attributes: { RedrivePolicy: redrive } }));
  t.after(async () => {
    for (const QueueUrl of [url, deadUrl]) await client.send(new DeleteQueueCommand({ QueueUrl }));
  });
  return {
    ...{ url, deadUrl, arn: arnOf(name) },
    send: (body: object | string) =>
      client.send(
        new SendMessageCommand({ QueueUrl: url, MessageBody: typeof body === 'string' ? body : JSON.stringify(body) }),
      ),
  };
}

/** How many messages a queue has, those that are hidden included. */
async function sizeOf(QueueUrl: string): Promise<number> {
  const { Attributes = {} } = await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  return (
    Number(Attributes['ApproximateNumberOfMessages']) + Number(Attributes['ApproximateNumberOfMessagesNotVisible'])
  );
}

function open(t: TestContext, options: Pick<EventQueueOptions, 'queueUrl' | 'handle'> & Partial<EventQueueOptions>) {
  const queue = createEventQueue({ region: 'us-east-1', endpoint, logger: SILENT, consumers: 1, ...options });
  let stopping: Promise<void> | undefined;
  const stop = () => {
    stopping ??= queue.stop();
    return stopping;
  };
  t.after(stop);
  queue.start();
  return { stop };
}

/** The emulator's SNS, by its Query API. */
async function sns(parameters: Readonly<Record<string, string>>): Promise<string> {
  const body = new URLSearchParams({ Version: '2010-03-31', ...parameters });
  const response = await fetch(endpoint, { method: 'POST', body, signal: AbortSignal.timeout(60_000) });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return text;
}

describe('queue of events', { concurrency: true }, () => {
  for (const raw of [false, true]) {
    it(`records what SNS puts on the queue ${raw ? 'with' : 'without'} raw message delivery`, async t => {
      const system = await startEventSystem(t);
      const queue = await makeQueue(t);
      const topic =
        /<TopicArn>(.*)<\/TopicArn>/.exec(
          await sns({ Action: 'CreateTopic', Name: `t${randomBytes(6).toString('hex')}` }),
        )?.[1] ?? '';
      const attribute = { 'Attributes.entry.1.key': 'RawMessageDelivery', 'Attributes.entry.1.value': String(raw) };
      await sns({ Action: 'Subscribe', TopicArn: topic, Protocol: 'sqs', Endpoint: queue.arn, ...attribute });
      const emailId = await system.addEmail();
      open(t, { queueUrl: queue.url, handle: bodies => system.intake.record(bodies, 'sqs') });
      await sns({ Action: 'Publish', TopicArn: topic, Message: JSON.stringify(ses.complaint({ emailId })) });
      await eventually(async () => (await system.statusOf(emailId)) === 'complained');
      await eventually(async () => (await sizeOf(queue.url)) === 0);
      await sns({ Action: 'DeleteTopic', TopicArn: topic });
    });
  }

  it('records what EventBridge puts there, and each occurrence once over both ways in', async t => {
    const system = await startEventSystem(t);
    const queue = await makeQueue(t);
    const emailId = await system.addEmail({ providerMessageId: MESSAGE_ID });
    await system.record(ses.bounce({ emailId }));
    await queue.send(inEventBridge(ses.bounce({ emailId })));
    await queue.send(inEventBridge(ses.delivery({ emailId })));
    open(t, { queueUrl: queue.url, handle: bodies => system.intake.record(bodies, 'sqs') });
    await eventually(async () => (await sizeOf(queue.url)) === 0);
    const types = await system.rows('select type from email_events order by type');
    assert.deepEqual(
      types.map(({ type }) => type),
      ['bounced', 'delivered'],
    );
    assert.equal(await system.statusOf(emailId), 'bounced');
  });

  it('leaves what cannot be read to the dead-letter queue, and takes what came with it', async t => {
    const system = await startEventSystem(t);
    const queue = await makeQueue(t);
    const emailId = await system.addEmail();
    await queue.send('garbage');
    await queue.send(ses.send({ emailId }));
    open(t, {
      queueUrl: queue.url,
      visibilityTimeout: 1,
      handle: bodies => system.intake.record(bodies, 'sqs'),
    });
    await eventually(async () => (await sizeOf(queue.deadUrl)) === 1);
    await eventually(async () => (await sizeOf(queue.url)) === 0);
    assert.equal((await system.rows('select from email_events')).length, 1);
  });

  it('deletes nothing before it is recorded, and waits with it in hand while the database is away', async t => {
    const queue = await makeQueue(t);
    await queue.send('one');
    let away = true;
    const handled: string[][] = [];
    open(t, {
      queueUrl: queue.url,
      visibilityTimeout: 6,
      handle: async bodies => {
        handled.push([...bodies]);
        if (away) throw new Error('the database is away');
        return bodies.map(() => true);
      },
    });
    // Longer than the message would be hidden: it is renewed, or it would be in the dead-letter queue by now.
    await eventually(() => handled.length >= 6);
    assert.deepEqual([await sizeOf(queue.url), await sizeOf(queue.deadUrl)], [1, 0]);
    away = false;
    await eventually(async () => (await sizeOf(queue.url)) === 0);
    assert.deepEqual(new Set(handled.flat()), new Set(['one']));
    assert.equal(await sizeOf(queue.deadUrl), 0);
  });

  it('stops when what is under way is recorded and deleted', async t => {
    const queue = await makeQueue(t);
    await queue.send('one');
    const begun = Promise.withResolvers<void>();
    const recorded = Promise.withResolvers<void>();
    const { stop } = open(t, {
      queueUrl: queue.url,
      handle: async () => {
        begun.resolve();
        await recorded.promise;
        return [true];
      },
    });
    await begun.promise;
    const stopped = stop();
    recorded.resolve();
    await stopped;
    assert.equal(await sizeOf(queue.url), 0);
  });

  it('stops within a moment while the database is away, and leaves its messages for later', async t => {
    const queue = await makeQueue(t);
    await queue.send('one');
    let calls = 0;
    const { stop } = open(t, {
      queueUrl: queue.url,
      handle: async () => {
        calls += 1;
        throw new Error('the database is away');
      },
    });
    await eventually(() => calls > 0);
    const begin = performance.now();
    await stop();
    // Long before the message in hand would be given out to somebody else.
    assert.ok(performance.now() - begin < 20_000);
    assert.equal(await sizeOf(queue.url), 1);
  });
});

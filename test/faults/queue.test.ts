import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { createQueue, sqsEnv, type TestQueue } from '../support/queue.ts';
import { type RelayOptions, startRelay, type TestContext, type TestRelay } from '../support/relay.ts';
import { emailIdOf, messageFrom, SmtpClient } from '../support/smtp-client.ts';
import { type FaultySqs, type SqsBehaviour, startFaultySqs } from './support/faulty-sqs.ts';

const FROM = 'a@acme.test';
const MESSAGES = 30;

interface Setup {
  readonly relay: TestRelay;
  readonly sqs: FaultySqs;
  readonly queue: TestQueue;
}

/** A relay whose queue is reached through an endpoint that fails on demand. No lease ends because the machine is busy. */
async function start(
  t: TestContext,
  options: { fifo?: boolean; settings?: RelayOptions['settings'] } = {},
): Promise<Setup> {
  const queue = await createQueue(t, { fifo: options.fifo ?? false });
  const sqs = await startFaultySqs(t, sqsEnv().AWS_ENDPOINT_URL_SQS);
  const relay = await startRelay(t, {
    queue: false,
    settings: {
      queueUrl: queue.url,
      sqsEndpoint: sqs.endpoint,
      'publishing.leaseTime': 10_000,
      'publishing.sweepInterval': 200,
      ...options.settings,
    },
  });
  return { relay, sqs, queue };
}

/** @returns the ids behind the 250 of each */
async function sendMany(t: { after(fn: () => void): void }, relay: TestRelay, count = MESSAGES): Promise<string[]> {
  const client = await SmtpClient.loggedIn(t, relay);
  const ids: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const message = { from: FROM, to: ['b@example.com'], data: messageFrom(FROM, { subject: `${index}` }) };
    ids.push(emailIdOf(await client.transact(message, '250 2.0.0')));
  }
  return ids;
}

async function outboxSize(relay: TestRelay): Promise<number> {
  return (await relay.db.query('select 1 from smtp_relay_outbox')).rows.length;
}

/** @returns the ids of the jobs on the queue, once the outbox is empty */
async function published({ relay, queue }: Setup): Promise<string[]> {
  await eventually(async () => (await outboxSize(relay)) === 0);
  return (await queue.receiveAll()).map(({ Body }) => JSON.parse(Body ?? '').emailId).sort();
}

// They wait more than they work.
describe('the queue', { concurrency: 4 }, () => {
  for (const behaviour of ['fails', 'hangs', 'stalls', 'refuses', 'empty'] as const satisfies SqsBehaviour[]) {
    it(`${behaviour}: mail is taken, and each job is published once when it works again`, async t => {
      const setup = await start(t);
      setup.sqs.behaviour = behaviour;
      const ids = await sendMany(t, setup.relay);
      await eventually(() => setup.sqs.calls >= 2);
      assert.equal(await outboxSize(setup.relay), ids.length);
      assert.deepEqual(await setup.queue.receiveAll(), []);
      setup.sqs.behaviour = 'works';
      assert.deepEqual(await published(setup), ids.sort());
    });
  }

  it('refuses connections: the same', async t => {
    const setup = await start(t);
    await setup.sqs.down();
    const ids = await sendMany(t, setup.relay);
    await eventually(() => setup.relay.logs.filter(({ msg }) => msg.startsWith('queue unreachable')).length >= 3);
    assert.equal(await outboxSize(setup.relay), ids.length);
    await setup.sqs.up();
    assert.deepEqual(await published(setup), ids.sort());
  });

  it('refuses some entries of each call: all are published once', async t => {
    const setup = await start(t);
    setup.sqs.behaviour = 'refusesSome';
    const ids = await sendMany(t, setup.relay);
    await eventually(() => setup.relay.logs.some(({ msg }) => msg.startsWith('queue refused jobs')));
    setup.sqs.behaviour = 'works';
    assert.deepEqual(await published(setup), ids.sort());
  });

  it('is down from the start of the relay: the same', async t => {
    const queue = await createQueue(t);
    const sqs = await startFaultySqs(t, sqsEnv().AWS_ENDPOINT_URL_SQS);
    await sqs.down();
    const settings = { queueUrl: queue.url, sqsEndpoint: sqs.endpoint, 'publishing.sweepInterval': 200 };
    const relay = await startRelay(t, { queue: false, settings });
    const ids = await sendMany(t, relay, 3);
    await sqs.up();
    assert.deepEqual(await published({ relay, sqs, queue }), ids.sort());
  });

  it('takes jobs and answers 500: FIFO deduplication swallows the second publishing', async t => {
    const setup = await start(t, { fifo: true });
    setup.sqs.behaviour = 'forgetful';
    const ids = await sendMany(t, setup.relay, 5);
    await eventually(() => setup.sqs.calls >= 2);
    setup.sqs.behaviour = 'works';
    assert.deepEqual(await published(setup), ids.sort());
  });

  it('is down while thousands of messages come: none is lost, and calls to it stay few', async t => {
    const setup = await start(t);
    setup.sqs.behaviour = 'fails';
    const [clients, each] = [20, 50];
    const began = performance.now();
    const sent = await Promise.all(Array.from({ length: clients }, () => sendMany(t, setup.relay, each)));
    const seconds = (performance.now() - began) / 1000;
    // Pauses grow from a quarter of a second; without them there would be a call for every ten messages.
    assert.ok(setup.sqs.calls < 40 + seconds * 2, `${setup.sqs.calls} calls in ${seconds} s`);
    setup.sqs.behaviour = 'works';
    assert.deepEqual(await published(setup), sent.flat().sort());
  });

  it('fails while the relay stops: the stop does not wait for it, and the next relay publishes', async t => {
    const setup = await start(t);
    setup.sqs.behaviour = 'hangs';
    const ids = await sendMany(t, setup.relay, 12);
    const began = performance.now();
    await setup.relay.stop();
    // A call under way is given up after five seconds.
    assert.ok(performance.now() - began < 30_000);
    setup.sqs.behaviour = 'works';
    const settings = { queueUrl: setup.queue.url, sqsEndpoint: setup.sqs.endpoint, 'publishing.sweepInterval': 200 };
    const next = await startRelay(t, { queue: false, shareWith: setup.relay, settings });
    assert.deepEqual(await published({ ...setup, relay: next }), ids.sort());
  });
});

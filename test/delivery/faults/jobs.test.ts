import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PurgeQueueCommand, SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import { sqsClient } from '../../../dev/sqs.ts';
import { newTrace } from '../../../src/observability/tracing.ts';
import { sendJobAttributes, sendJobBody } from '../../../src/queue/sqs/job-format.ts';
import { eventually } from '../../support/eventually.ts';
import { createQueue, sqsEnv } from '../../support/queue.ts';
import { createFleet, outcomesOf } from './support/fleet.ts';

const sqs = sqsClient(sqsEnv().AWS_ENDPOINT_URL_SQS);

/** A job for each of the messages, five times, in mixed order. */
async function publishFiveTimes(queueUrl: string, ids: readonly string[]): Promise<void> {
  for (let time = 0; time < 5; time += 1) {
    const order = time % 2 === 0 ? ids : ids.toReversed();
    const Entries = order.map((emailId, index) => {
      const job = { emailId, userId: 'acme', try: 0, requestedAt: new Date(), ...newTrace() };
      const attributes = Object.entries(sendJobAttributes(job));
      const MessageAttributes = Object.fromEntries(
        attributes.map(([name, StringValue]) => [name, { DataType: 'String', StringValue }]),
      );
      return { Id: String(index), MessageBody: sendJobBody(job), MessageAttributes };
    });
    await sqs.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
  }
}

describe('jobs', { concurrency: 2 }, () => {
  it('that three workers receive five times over send each message once', async t => {
    // Each is in hand but for a moment; no lease ends because the machine is busy.
    const fleet = await createFleet(t, { env: { SMTP_RELAY_WORKER_LEASE_TIME: '10m' } });
    const ids = await Promise.all(Array.from({ length: 10 }, () => fleet.store({ outboxLease: 600_000 })));
    await fleet.db.query('delete from smtp_relay_outbox');
    await publishFiveTimes(fleet.queue?.url ?? '', ids);
    await Promise.all([fleet.spawn(), fleet.spawn(), fleet.spawn()]);
    for (const id of ids) assert.deepEqual(outcomesOf(await fleet.until(id, 'sent')), ['sent']);
    // All copies are received and done with by then.
    await eventually(async () => (await fleet.queue?.receiveAll())?.length === 0);
    assert.equal(fleet.calls, ids.length);
  });

  it('that are lost are published again, but not those of a try that is yet to come', async t => {
    const fleet = await createFleet(t, { env: { SMTP_RELAY_WORKER_REPUBLISH_AFTER: '1s' } });
    const [lost, later] = [await fleet.store(), await fleet.store()];
    await fleet.db.query(
      `update emails set provider_retry_count = 1, provider_next_retry_at = now() + interval '1 hour' where id = $1`,
      [later],
    );
    // As though both had been published before somebody purged the queue.
    await fleet.db.query('delete from smtp_relay_outbox');
    await sqs.send(new PurgeQueueCommand({ QueueUrl: fleet.queue?.url ?? '' }));
    await fleet.spawn();
    assert.deepEqual(outcomesOf(await fleet.until(lost, 'sent')), ['sent']);
    // Another message's job is lost and found: the other one was looked at again meanwhile.
    const second = await fleet.store({ outboxLease: null });
    await fleet.until(second, 'sent');
    const { row, attempts } = await fleet.story(later);
    assert.deepEqual([row.status, attempts], ['queued', []]);
    const { rows } = await fleet.db.query('select republished from smtp_relay_messages where email_id = $1', [later]);
    assert.equal(rows[0].republished, 0);
  });

  it("of a retry within seconds are not swallowed by a FIFO queue's deduplication", async t => {
    const fleet = await createFleet(t, { queue: await createQueue(t, { fifo: true }) });
    fleet.plan({ kind: 'error', status: 500, name: 'InternalFailure', times: 4 });
    await fleet.spawn();
    const ids = [await fleet.store(), await fleet.store()];
    for (const id of ids) {
      const story = await fleet.until(id, 'sent');
      assert.equal(outcomesOf(story).at(-1), 'sent');
      assert.equal(fleet.received(id).length, 1);
    }
    assert.equal(fleet.calls, 6);
  });
});

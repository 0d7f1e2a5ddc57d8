import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OutboxJob } from '../../src/message/send-job.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { PendingJobs, QueuePace } from '../../src/queue/pace.ts';
import { Publisher } from '../../src/queue/publisher.ts';
import { createSqsQueue } from '../../src/queue/sqs/queue.ts';
import { Outbox } from '../../src/store/messages/outbox.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';
import { createQueue } from '../support/queue.ts';
import { countLeft, endpoint, job, startSource } from './sqs-jobs.ts';

const pool = openPool(await createDatabase({ after }));
after(() => pool.end());
const logger = createLogger({ level: 'silent', format: 'json' });
const ALL = () => true;

interface TestContext {
  after(fn: () => Promise<void>): void;
}

const STORE = `
  insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent, leased_until)
  select id, $2, repeat('c', 32), '00-' || repeat('a', 32) || '-' || repeat('b', 16) || '-01', now() + interval '5 seconds'
    from unnest($1::uuid[]) as id`;

/** As the relay does it: committed with a lease, then handed to the publisher. */
async function accept(publisher: Publisher, userId: string, count: number): Promise<OutboxJob[]> {
  const jobs = Array.from({ length: count }, () => job({ userId, emailId: randomUUID() }));
  await pool.query(STORE, [jobs.map(({ emailId }) => emailId), userId]);
  for (const each of jobs) publisher.publish(each);
  return jobs;
}

async function waitingInOutbox(): Promise<number> {
  return (await pool.query('select count(*)::integer as count from smtp_relay_outbox')).rows[0].count;
}

async function startPublisher(t: TestContext, isAttended = true) {
  await pool.query('truncate smtp_relay_outbox');
  const { url } = await createQueue(t);
  const options = { queueUrl: url, region: 'us-east-1', endpoint, connections: 8, fairQueue: true };
  const publisher = new Publisher({
    queue: createSqsQueue(options),
    outbox: new Outbox(pool),
    logger,
    registry: createRegistry(),
    options: { concurrency: 8, sweepInterval: 2_000, leaseTime: 5_000 },
    attended: async () => isAttended,
  });
  publisher.start();
  t.after(() => publisher.stop());
  return { publisher, url };
}

describe('a queue from which somebody takes, but little', () => {
  it('is given no more than a little of what one owner has, and at once what another sends', async t => {
    const { publisher, url } = await startPublisher(t);
    await accept(publisher, 'big', 3_000);
    await eventually(async () => (await countLeft(url)).waiting > 100);
    await sleep(9_000);
    const { waiting } = await countLeft(url);
    assert.ok(waiting < 1_200, `${waiting} in the queue`);
    assert.equal(await waitingInOutbox(), 3_000 - waiting);
    for (let count = 0; count < 3; count += 1) {
      await accept(publisher, `small ${count}`, 1);
      await eventually(async () => {
        const left = await pool.query("select from smtp_relay_outbox where user_id like 'small%'");
        return left.rowCount === 0;
      });
      assert.ok((await waitingInOutbox()) > 1_500, 'it does not wait for the backlog');
    }
  });

  it('has all of it in the end, each once, when more is taken', async t => {
    const { publisher, url } = await startPublisher(t);
    const jobs = [...(await accept(publisher, 'big', 2_000)), ...(await accept(publisher, 'other', 100))];
    const taken: string[] = [];
    startSource(t, url, async batch => {
      taken.push(...batch.map(({ emailId }) => emailId));
      return batch.map(() => 'done' as const);
    });
    await eventually(() => taken.length >= jobs.length);
    assert.deepEqual(taken.toSorted(), jobs.map(({ emailId }) => emailId).toSorted());
    await eventually(async () => (await waitingInOutbox()) === 0);
  });
});

it('a queue from which nobody takes has all of it: there is nobody to wait for', async t => {
  const { publisher, url } = await startPublisher(t, false);
  await accept(publisher, 'big', 3_000);
  await eventually(async () => (await countLeft(url)).waiting === 3_000);
  await eventually(async () => (await waitingInOutbox()) === 0);
});

describe('QueuePace', () => {
  /** A queue of which a test knows all. */
  function setUp() {
    let now = 0;
    let depth: number | null = 0;
    let isAttended = true;
    const pace = new QueuePace({ depth: async () => depth, attended: async () => isAttended, now: () => now });
    return {
      pace,
      leave: () => {
        isAttended = false;
      },
      publish(count: number, owner = 'a') {
        for (let each = 0; each < count; each += 1) pace.goes(owner);
        depth = (depth ?? 0) + count;
      },
      async look(milliseconds: number, taken: number | null) {
        now += milliseconds;
        depth = taken === null ? null : (depth ?? 0) - taken;
        await pace.look();
      },
    };
  }

  it('lets through what is taken, ever more where more is', async () => {
    const { pace, publish, look, leave } = setUp();
    await look(0, 0);
    let before = 0;
    for (let looks = 0; looks < 8; looks += 1) {
      const { room } = pace;
      assert.ok(room > before || room >= 2_000, `${room} after ${before}`);
      publish(Math.floor(room));
      before = room;
      await look(200, Math.floor(room));
    }
    assert.ok(pace.room > 2_000);
    publish(Math.floor(pace.room));
    for (let looks = 0; looks < 40; looks += 1) await look(200, 0);
    assert.equal(pace.room, 0);
    leave();
    for (let looks = 0; looks < 30; looks += 1) await look(200, 0);
    assert.equal(pace.room, Number.POSITIVE_INFINITY, 'nobody is there any more');
  });

  it('lets only a little through before the first look, which may find the queue full', async () => {
    const { pace, publish, look } = setUp();
    publish(400);
    assert.equal(pace.room, 100);
    await look(0, 0);
    assert.equal(pace.room, 100);
  });

  it('lets each owner have a few a second all the same', async () => {
    const { pace, publish, look } = setUp();
    await look(0, 0);
    publish(500, 'a');
    assert.equal(pace.room, 0);
    assert.equal(pace.mayAlways('a'), false);
    assert.deepEqual(pace.served, ['a']);
    for (let count = 0; count < 5; count += 1) {
      assert.ok(pace.mayAlways('b'));
      publish(1, 'b');
    }
    assert.equal(pace.mayAlways('b'), false);
    await look(1_000, 0);
    assert.ok(pace.mayAlways('a'));
  });

  it('lets all through where the queue does not say how much it holds', async () => {
    const { pace, publish, look } = setUp();
    await look(0, 0);
    publish(500);
    await look(200, null);
    assert.equal(pace.room, Number.POSITIVE_INFINITY);
  });
});

describe('PendingJobs', () => {
  const leased = (userId: string, leasedUntil = 1_000) => ({ job: job({ userId }), leasedUntil });
  const owners = (taken: readonly { job: OutboxJob }[]) => taken.map(({ job: { userId } }) => userId).join('');

  it('takes of one owner after the other, and leaves those out who may not', () => {
    const pending = new PendingJobs(100);
    for (const userId of 'aaaaabbc') pending.add(leased(userId));
    assert.equal(owners(pending.take(4, ALL)), 'abca');
    assert.equal(owners(pending.take(10, owner => owner !== 'a')), 'b');
    assert.equal(owners(pending.take(10, () => false)), '');
    assert.equal(pending.size, 3);
    assert.equal(owners(pending.take(10, ALL)), 'aaa');
    assert.equal(pending.size, 0);
  });

  it('has room for a newcomer at the cost of who has most', () => {
    const pending = new PendingJobs(5);
    for (const userId of 'aaaaaab') pending.add(leased(userId));
    assert.equal(pending.size, 5);
    assert.equal(owners(pending.take(10, ALL)), 'abaaa');
  });

  it('forgets what is not ours any more', () => {
    const pending = new PendingJobs(5);
    pending.add(leased('a', 10));
    pending.add(leased('a', 30));
    pending.add(leased('b', 10));
    pending.forgetBefore(20);
    assert.equal(pending.size, 1);
    assert.equal(owners(pending.take(5, ALL)), 'a');
  });
});

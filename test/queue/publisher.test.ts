import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { OutboxJob } from '../../src/message/send-job.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import type { JobQueue, RefusedJob } from '../../src/queue/jobs.ts';
import { type JobOutbox, Publisher, type PublisherOptions } from '../../src/queue/publisher.ts';
import { eventually } from '../support/eventually.ts';
import { StoppedClock } from '../support/time.ts';

const OPTIONS: PublisherOptions = { concurrency: 2, sweepInterval: 20, leaseTime: 600_000 };

function job(): OutboxJob {
  const ids = { correlationId: 'c'.repeat(32), traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` };
  return { emailId: randomUUID(), userId: 'acme', try: 0, ...ids, requestedAt: new Date() };
}

function idsOf(jobs: readonly { readonly emailId: string }[]): string[] {
  return jobs.map(({ emailId }) => emailId);
}

/** A queue that remembers what it was given, and does with it what the test says. */
class FakeQueue implements JobQueue {
  readonly calls: (readonly OutboxJob[])[] = [];
  readonly timeLimits: number[] = [];
  closed = false;
  answer: (jobs: readonly OutboxJob[]) => Promise<readonly RefusedJob[]> = async () => [];

  get published(): string[] {
    return idsOf(this.calls.flat());
  }

  async send(jobs: readonly OutboxJob[], timeLimit: number): Promise<readonly RefusedJob[]> {
    this.calls.push(jobs);
    this.timeLimits.push(timeLimit);
    return this.answer(jobs);
  }

  close(): void {
    this.closed = true;
  }
}

/** An outbox whose entries are due when the test puts them into `due`. */
class FakeOutbox implements JobOutbox {
  due: OutboxJob[] = [];
  readonly removed: string[] = [];
  readonly postponed: string[] = [];
  leases = 0;
  isDown = false;
  /** Removals wait for it. */
  answers: Promise<void> = Promise.resolve();

  async leaseDue(limit: number): Promise<OutboxJob[]> {
    this.#refuseWhenDown();
    this.leases += 1;
    return this.due.splice(0, limit);
  }

  async takeInTurn(limit: number, _leaseMs: number, leftOut: readonly (string | null)[]): Promise<OutboxJob[]> {
    this.#refuseWhenDown();
    this.leases += 1;
    const taken = this.due.filter(({ userId }) => !leftOut.includes(userId)).slice(0, limit);
    this.due = this.due.filter(each => !taken.includes(each));
    return taken;
  }

  async remove(jobs: readonly OutboxJob[]): Promise<void> {
    this.#refuseWhenDown();
    await this.answers;
    this.removed.push(...idsOf(jobs));
  }

  async postpone(failures: readonly { readonly emailId: string }[]): Promise<void> {
    this.#refuseWhenDown();
    this.postponed.push(...idsOf(failures));
  }

  #refuseWhenDown(): void {
    if (this.isDown) throw new Error('Connection terminated unexpectedly');
  }
}

/** Those of a queue that answers at once. */
function callsEnd(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve));
}

function createPublisher(t: TestContext, options: Partial<PublisherOptions> = {}) {
  const queue = new FakeQueue();
  const outbox = new FakeOutbox();
  const logger = createLogger({ level: 'silent', format: 'json' });
  const publisher = new Publisher({
    queue,
    outbox,
    logger,
    registry: createRegistry(),
    options: { ...OPTIONS, ...options },
  });
  t.after(() => publisher.stop());
  return { publisher, queue, outbox };
}

describe('Publisher', () => {
  it('publishes a job soon though it is alone, and removes it', async t => {
    const { publisher, queue, outbox } = createPublisher(t);
    const only = job();
    publisher.publish(only);
    await eventually(() => outbox.removed.length === 1);
    assert.deepEqual(queue.published, [only.emailId]);
    assert.deepEqual(outbox.removed, [only.emailId]);
  });

  it('publishes at once after a quiet moment, and then gathers what comes', async t => {
    const clock = new StoppedClock(t);
    const { publisher, queue } = createPublisher(t, { concurrency: 8 });
    const sizes = () => queue.calls.map(({ length }) => length);
    publisher.publish(job());
    publisher.publish(job());
    clock.pass(1);
    assert.deepEqual(sizes(), [2], 'those of one commit go together, and wait for nobody else');
    await callsEnd();
    for (let count = 0; count < 4; count += 1) {
      publisher.publish(job());
      clock.pass(3);
    }
    assert.deepEqual(sizes(), [2]);
    clock.pass(3);
    assert.deepEqual(sizes(), [2, 4], 'fifteen milliseconds after the call before');
    await callsEnd();
    for (let count = 0; count < 12; count += 1) publisher.publish(job());
    assert.deepEqual(sizes(), [2, 4, 10], 'a full call waits for nothing');
    clock.pass(14);
    assert.deepEqual(sizes(), [2, 4, 10]);
    clock.pass(1);
    assert.deepEqual(sizes(), [2, 4, 10, 2]);
    await callsEnd();
    clock.pass(60);
    publisher.publish(job());
    clock.pass(1);
    assert.deepEqual(sizes(), [2, 4, 10, 2, 1]);
  });

  it('goes on publishing while the outbox takes its time to forget, and stops behind that', async t => {
    const { publisher, queue, outbox } = createPublisher(t, { concurrency: 1 });
    let answer = (): void => {};
    outbox.answers = new Promise(resolve => (answer = resolve));
    const jobs = Array.from({ length: 35 }, job);
    for (const each of jobs) publisher.publish(each);
    await eventually(() => queue.published.length === jobs.length);
    assert.deepEqual(outbox.removed, []);
    const stopped = publisher.stop();
    answer();
    await stopped;
    assert.deepEqual(outbox.removed.sort(), idsOf(jobs).sort());
  });

  it('sends ten jobs a call, in so many calls at once as allowed', async t => {
    const { publisher, queue } = createPublisher(t);
    const open: (() => void)[] = [];
    queue.answer = () => new Promise(resolve => open.push(() => resolve([])));
    const jobs = Array.from({ length: 45 }, job);
    for (const each of jobs) publisher.publish(each);
    await eventually(() => queue.calls.length === 2);
    await sleep(50);
    assert.deepEqual(
      queue.calls.map(({ length }) => length),
      [10, 10],
      'no third call while two are under way',
    );
    await eventually(() => {
      for (const finish of open.splice(0)) finish();
      return queue.published.length === jobs.length;
    });
    assert.deepEqual(queue.published, idsOf(jobs));
    assert.ok(queue.calls.every(({ length }) => length <= 10));
    for (const finish of open) finish();
  });

  it('removes only what the queue has taken, and postpones what it refused', async t => {
    const { publisher, queue, outbox } = createPublisher(t);
    const jobs = [job(), job(), job()];
    queue.answer = async ([, second]) => (second ? [{ job: second, reason: 'InternalError: no' }] : []);
    for (const each of jobs) publisher.publish(each);
    await eventually(() => outbox.postponed.length === 1);
    assert.deepEqual(outbox.removed, [jobs[0]?.emailId, jobs[2]?.emailId]);
    assert.deepEqual(outbox.postponed, [jobs[1]?.emailId]);
  });

  it('leaves jobs to the outbox whose lease ends before a call could', async t => {
    const clock = new StoppedClock(t);
    const { publisher, queue } = createPublisher(t, { leaseTime: 2_000, concurrency: 1 });
    let finish = (): void => {};
    queue.answer = () => new Promise(resolve => (finish = () => resolve([])));
    const [first, late] = [job(), job()];
    publisher.publish(first);
    clock.pass(100);
    await eventually(() => queue.calls.length === 1);
    publisher.publish(late);
    clock.pass(2_000);
    finish();
    await publisher.stop();
    assert.deepEqual(queue.published, [first.emailId]);
  });

  it('gives a call no more time than its jobs have left', async t => {
    const { publisher, queue } = createPublisher(t, { leaseTime: 100_000 });
    publisher.publish(job());
    await eventually(() => queue.calls.length === 1);
    const [limit = 0] = queue.timeLimits;
    assert.ok(limit > 50_000 && limit <= 100_000, `${limit}`);
  });

  it('backs off from a queue that fails, keeps nothing in memory, and comes back by the outbox', async t => {
    const clock = new StoppedClock(t);
    const { publisher, queue, outbox } = createPublisher(t);
    const untilPassed = (probe: () => boolean) =>
      eventually(() => {
        clock.pass(100);
        return probe();
      });
    const failures = 4;
    queue.answer = () => {
      if (queue.calls.length < failures) outbox.due = [job()];
      return Promise.reject(new Error('503'));
    };
    outbox.due = [job()];
    publisher.start();
    // After so many it is two seconds before the next call.
    await untilPassed(() => queue.calls.length === failures);
    for (let count = 0; count < 50; count += 1) publisher.publish(job());
    await sleep(100);
    assert.equal(queue.calls.length, failures, 'no call while paused');
    assert.deepEqual(outbox.removed, []);

    queue.answer = async () => [];
    const left = Array.from({ length: 25 }, job);
    outbox.due = [...left];
    await untilPassed(() => outbox.removed.length === left.length);
    assert.deepEqual(new Set(queue.published.slice(failures)), new Set(idsOf(left)));
  });

  it('pauses longer with each failure, up to seconds', async t => {
    const { publisher, queue, outbox } = createPublisher(t, { concurrency: 1 });
    const times: number[] = [];
    queue.answer = () => {
      times.push(performance.now());
      outbox.due = [job()];
      return Promise.reject(new Error('503'));
    };
    outbox.due = [job()];
    publisher.start();
    await eventually(() => times.length === 4);
    const pauses = times.slice(1).map((time, index) => time - (times[index] ?? 0));
    for (const [index, least] of [250, 500, 1_000].entries()) {
      assert.ok((pauses[index] ?? 0) >= least - 2, `pause ${index}: ${pauses[index]} ms`);
    }
  });

  it('sweeps on at once while there is more than one helping', async t => {
    const { publisher, queue, outbox } = createPublisher(t, { sweepInterval: 600_000 });
    outbox.due = Array.from({ length: 1_200 }, job);
    publisher.start();
    await eventually(() => queue.published.length === 1_200);
    assert.equal(outbox.leases, 3);
  });

  it('survives an outbox that cannot be read', async t => {
    const { publisher, queue, outbox } = createPublisher(t);
    outbox.isDown = true;
    outbox.due = [job()];
    publisher.start();
    await sleep(60);
    assert.deepEqual(queue.calls, []);
    outbox.isDown = false;
    await eventually(() => queue.calls.length === 1);
  });

  it('removes later what it could not remove, before it looks for work', async t => {
    const { publisher, queue, outbox } = createPublisher(t);
    const published = job();
    outbox.isDown = true;
    publisher.start();
    publisher.publish(published);
    await eventually(() => queue.calls.length === 1);
    outbox.isDown = false;
    await eventually(() => outbox.removed.length === 1);
    assert.deepEqual(outbox.removed, [published.emailId]);
    assert.deepEqual(queue.published, [published.emailId]);
  });

  it('remembers only so many jobs, however slow the queue is', async t => {
    const { publisher, queue } = createPublisher(t);
    const open: (() => void)[] = [];
    let hangs = true;
    queue.answer = () => new Promise(resolve => (hangs ? open.push(() => resolve([])) : resolve([])));
    for (let count = 0; count < 10_500; count += 1) publisher.publish(job());
    hangs = false;
    for (const finish of open) finish();
    await publisher.stop();
    assert.equal(queue.published.length, 10_020, 'two calls under way, and ten thousand jobs waiting');
  });

  it('publishes what is pending when it stops, and hangs up', async t => {
    const { publisher, queue, outbox } = createPublisher(t);
    const jobs = Array.from({ length: 37 }, job);
    publisher.start();
    for (const each of jobs) publisher.publish(each);
    await publisher.stop();
    assert.deepEqual(queue.published.sort(), idsOf(jobs).sort());
    assert.deepEqual(outbox.removed.sort(), idsOf(jobs).sort());
    assert.ok(queue.closed);
  });

  it('stops soon though the queue fails', async t => {
    const { publisher, queue } = createPublisher(t);
    queue.answer = () => Promise.reject(new Error('503'));
    publisher.start();
    for (let count = 0; count < 1_000; count += 1) publisher.publish(job());
    await publisher.stop();
    assert.ok(queue.calls.length <= OPTIONS.concurrency);
    assert.ok(queue.closed);
  });
});

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { Deliverer, type DelivererDependencies } from '../../src/delivery/deliverer.ts';
import { createDeliveryMetrics } from '../../src/delivery/metrics.ts';
import { HandedBack } from '../../src/delivery/send-message.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { newTrace } from '../../src/observability/trace.ts';
import { createTurns } from '../../src/policy/turns.ts';
import type { Claim } from '../../src/store/claims.ts';
import { Standstill } from '../../src/store/standstill.ts';
import { eventually } from '../support/eventually.ts';

const CONCURRENCY = 4;

const logger = pino({ level: 'silent' });

function claim(emailId: string = randomUUID()): Claim {
  return { emailId, token: randomUUID(), try: 0, message: { userId: 'acme', sizeBytes: 1 }, earlier: [] } as never;
}

/** A deliverer over claims that are made up; `expired` are those of others. */
function startDeliverer(t: TestContext, tryMessage: DelivererDependencies['tryMessage']) {
  const expired: Claim[] = [];
  const handedBack: string[] = [];
  const limits: number[] = [];
  const claims: DelivererDependencies['claims'] = {
    take: async ids => ids.map(claim),
    findForeign: async () => [],
    takeOver: async limit => {
      limits.push(limit);
      return expired.splice(0, limit);
    },
    takeOverAlone: async () => null,
    beginAlone: async () => true,
    absolve: async () => {},
    renew: async () => {},
    handBack: async given => void handedBack.push(...given.map(({ emailId }) => emailId)),
  };
  const deliverer = new Deliverer({
    claims,
    turns: createTurns({ concurrency: CONCURRENCY, bytes: 1_000 }),
    tryMessage,
    holdMessage: tryMessage,
    standstill: new Standstill(logger),
    metrics: createDeliveryMetrics(createRegistry()),
    logger,
    options: { leaseTime: 60_000, pollInterval: 10, takeOverLimit: CONCURRENCY },
  });
  deliverer.start();
  t.after(() => deliverer.stop(0));
  const jobs = (count: number) =>
    Array.from({ length: count }, () => ({ emailId: randomUUID(), userId: null, ...newTrace() }));
  return { deliverer, claims, expired, handedBack, limits, jobs };
}

/** Ends when the worker gives up waiting. */
const untilAborted: DelivererDependencies['tryMessage'] = (_claim, _trace, { aborted }) =>
  new Promise(resolve => aborted.addEventListener('abort', () => resolve()));

describe('the deliverer', () => {
  it('takes over what others left, however much it has in hand itself, and not without end', async t => {
    const { deliverer, expired, limits, jobs } = startDeliverer(t, untilAborted);
    void deliverer.handle(jobs(3 * CONCURRENCY));
    expired.push(...Array.from({ length: 3 * CONCURRENCY }, () => claim()));
    await eventually(() => expired.length === 2 * CONCURRENCY);
    const asked = limits.length;
    // With no room it does not even ask.
    void deliverer.handle(jobs(1));
    assert.equal(limits.length, asked);
    assert.equal(expired.length, 2 * CONCURRENCY, 'no more than it may have at a time');
  });

  it('answers for a job that is redelivered while it is in hand, and does nothing about it', async t => {
    let tries = 0;
    const { deliverer, jobs } = startDeliverer(t, (...args) => {
      tries += 1;
      return untilAborted(...args);
    });
    const [job] = jobs(1);
    assert.ok(job);
    const first = deliverer.handle([job]);
    await eventually(() => tries === 1);
    assert.deepEqual(await deliverer.handle([job]), ['done']);
    await deliverer.stop(0);
    assert.deepEqual(await first, ['done']);
    assert.equal(tries, 1);
  });

  it('hands back all that has not begun when it stops', async t => {
    const { deliverer, handedBack, jobs } = startDeliverer(
      t,
      (_claim, _trace, { stopping }) =>
        new Promise((_, reject) => stopping.addEventListener('abort', () => reject(new HandedBack()))),
    );
    const taken = jobs(3 * CONCURRENCY);
    const answers = deliverer.handle(taken);
    await new Promise(setImmediate);
    await deliverer.stop(1_000);
    assert.deepEqual(
      await answers,
      taken.map(() => 'left'),
    );
    assert.deepEqual(handedBack.toSorted(), taken.map(({ emailId }) => emailId).toSorted());
  });

  it('keeps nothing that it takes over at the moment of its stop, though a call is under way', async t => {
    const { deliverer, expired, handedBack, limits, jobs } = startDeliverer(t, untilAborted);
    void deliverer.handle(jobs(CONCURRENCY));
    await eventually(() => limits.length > 0);
    const late = claim();
    const push = limits.push.bind(limits);
    let stopping: Promise<void> | undefined;
    limits.push = (...args) => {
      stopping ??= deliverer.stop(60_000);
      expired.push(late);
      return push(...args);
    };
    await eventually(() => handedBack.includes(late.emailId));
    await deliverer.stop(0);
    await stopping;
  });

  it('sends what it got, and leaves what it cannot ask about', async t => {
    const { deliverer, claims, jobs } = startDeliverer(t, async () => {});
    const [got, theirs, done] = jobs(3);
    claims.take = async () => [claim(got?.emailId)];
    claims.findForeign = async ids => ids.filter(id => id === theirs?.emailId);
    const batch = [theirs, got, done].filter(job => job !== undefined);
    assert.deepEqual(await deliverer.handle(batch), ['foreign', 'done', 'done']);
    claims.findForeign = async () => {
      throw new Error('the database is away');
    };
    assert.deepEqual(await deliverer.handle(batch), ['left', 'done', 'left']);
  });

  it('leaves a claim to run out when a try fails unexpectedly, so that it is not tried without a pause', async t => {
    const { deliverer, handedBack, jobs } = startDeliverer(t, async () => {
      throw new Error('a mistake');
    });
    assert.deepEqual(await deliverer.handle(jobs(2)), ['left', 'left']);
    assert.deepEqual(handedBack, []);
  });
});

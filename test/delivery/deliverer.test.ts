import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import { pino } from 'pino';
import { HandedBack } from '../../src/delivery/claimed-work.ts';
import { Deliverer, type DelivererDependencies } from '../../src/delivery/deliverer.ts';
import { createCircuitMetrics, createDeliveryMetrics } from '../../src/delivery/metrics.ts';
import { Circuit } from '../../src/delivery/schedule/circuit.ts';
import type { Way } from '../../src/delivery/schedule/ways.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { newTrace } from '../../src/observability/tracing.ts';
import type { JobOutcome } from '../../src/queue/jobs.ts';
import type { Claim } from '../../src/store/delivery/claims.ts';
import { Standstill } from '../../src/store/delivery/settle.ts';
import type { JobFacts, PutOff } from '../../src/store/delivery/unclaimed.ts';
import { eventually } from '../support/eventually.ts';

const PAUSES = { firstPause: 15_000, longestPause: 3_600_000 };

const CONCURRENCY = 4;
const PLACES = 100;

const logger = pino({ level: 'silent' });

function claim(emailId: string = randomUUID()): Claim {
  return { emailId, token: randomUUID(), try: 0, message: { userId: 'acme', traceparent: null }, earlier: [] } as never;
}

function factsOf(emailId: string = randomUUID(), more: Partial<JobFacts> = {}): JobFacts {
  const from = 'hello@acme.test';
  const size = { recipients: 1, sizeBytes: 1 };
  return { emailId, userId: 'acme', from, captured: false, ...size, acceptedAt: new Date(), expired: false, ...more };
}

/** A deliverer over messages that are made up; `expired` are those of other workers. */
function startDeliverer(t: TestContext, tryMessage: DelivererDependencies['tryMessage']) {
  const expired: JobFacts[] = [];
  const claimed: string[] = [];
  const handedBack: string[] = [];
  const limits: number[] = [];
  const putOff: PutOff[] = [];
  const givenUp: string[] = [];
  const circuit = new Circuit({ now: () => performance.now(), pauses: PAUSES });
  const way = {
    kind: 'smtp',
    name: 'default',
    calls: 100,
    maxRecipients: 10,
    allowance: null,
    circuit,
  } as never as Way;
  const claims: DelivererDependencies['claims'] = {
    take: async ids => {
      claimed.push(...ids);
      return ids.map(claim);
    },
    takeOverAlone: async () => null,
    beginAlone: async () => true,
    absolve: async () => {},
    renew: async () => {},
    handBack: async given => void handedBack.push(...given.map(({ emailId }) => emailId)),
  };
  const facts: DelivererDependencies['facts'] = {
    find: async id => factsOf(id),
    findExpired: async ({ limit }) => {
      limits.push(limit);
      return expired.splice(0, limit);
    },
    isForeign: async () => false,
  };
  const deliverer = new Deliverer({
    claims,
    facts,
    putOffs: { add: async item => void putOff.push(item) },
    ways: { wayOf: async () => way },
    tryMessage,
    holdMessage: tryMessage,
    giveUp: async ({ emailId }) => void givenUp.push(emailId),
    standstill: new Standstill(logger),
    metrics: createDeliveryMetrics(createRegistry()),
    circuitMetrics: createCircuitMetrics(createRegistry()),
    logger,
    options: {
      concurrency: CONCURRENCY,
      callsPerWay: CONCURRENCY,
      bytes: { small: 1_000, large: 1_000 },
      places: PLACES,
      leaseTime: 60_000,
      pollInterval: 10,
      takeOverLimit: CONCURRENCY,
      maxAge: 3_600_000,
    },
  });
  deliverer.start();
  t.after(() => deliverer.stop(0));
  const jobs = (count: number) =>
    Array.from({ length: count }, () => ({ emailId: randomUUID(), userId: 'acme', ...newTrace() }));
  return { deliverer, claims, facts, circuit, claimed, expired, handedBack, limits, putOff, givenUp, jobs };
}

function outcomes(promises: readonly Promise<JobOutcome>[]): Promise<JobOutcome[]> {
  return Promise.all(promises);
}

/** Ends when the worker gives up waiting. */
const untilAborted: DelivererDependencies['tryMessage'] = (_claim, _trace, { aborted }) =>
  new Promise(resolve => aborted.addEventListener('abort', () => resolve()));

describe('the deliverer', () => {
  it('claims nothing before it may begin, and has room for what waits', async t => {
    const { deliverer, claimed, jobs } = startDeliverer(t, untilAborted);
    assert.equal(deliverer.room, PLACES);
    deliverer.take(jobs(20));
    await eventually(() => claimed.length > 0);
    await new Promise(resolve => setTimeout(resolve, 50));
    assert.ok(claimed.length <= CONCURRENCY, `${claimed.length} are claimed`);
    assert.equal(deliverer.room, PLACES - (20 - claimed.length));
  });

  it('wants no more of an owner who has a good part of the room, until half of that has gone', async t => {
    const ends: (() => void)[] = [];
    const { deliverer, jobs } = startDeliverer(t, () => new Promise(resolve => ends.push(resolve)));
    deliverer.take(jobs(40));
    await eventually(() => ends.length > 0);
    assert.deepEqual(deliverer.sated, ['acme']);
    const [other] = jobs(1);
    assert.ok(other);
    deliverer.take([{ ...other, userId: 'b' }]);
    assert.deepEqual(deliverer.sated, ['acme']);
    await eventually(() => {
      for (const end of ends.splice(0)) end();
      return deliverer.sated.length === 0;
    });
    assert.ok(deliverer.room > PLACES - 20, 'half of them have gone');
  });

  it('counts what waits for its owner, whoever the queue says that it is of', async t => {
    const { deliverer, facts, putOff, claimed, jobs } = startDeliverer(t, untilAborted);
    const taken = jobs(81).map(job => ({ ...job, userId: null }));
    const last = taken.at(-1);
    facts.find = async id => factsOf(id, { userId: id === last?.emailId ? 'b' : 'a' });
    deliverer.take(taken.slice(0, 20));
    await eventually(() => claimed.length > 0);
    // Only then is it known that they do not go on.
    await new Promise(resolve => setTimeout(resolve, 1_000));
    deliverer.take(taken.slice(20, 80));
    await eventually(() => putOff.length > 0);
    assert.ok(last);
    deliverer.take([last]);
    await new Promise(resolve => setTimeout(resolve, 50));
    const ofOther = putOff.filter(({ emailId }) => emailId === last.emailId);
    assert.equal(ofOther.length, 0, 'of one owner too many are here, of the other not');
  });

  it('takes over what others left, but no more than it may have at a time', async t => {
    const { deliverer, expired, limits, claimed } = startDeliverer(t, untilAborted);
    expired.push(...Array.from({ length: 3 * CONCURRENCY }, () => factsOf(randomUUID(), { expired: true })));
    await eventually(() => expired.length === 2 * CONCURRENCY && claimed.length > 0);
    const asked = limits.length;
    await new Promise(resolve => setTimeout(resolve, 50));
    assert.equal(limits.length, asked, 'with no room it does not even ask');
    await deliverer.stop(0);
  });

  it('works on a job that comes twice once, and on one that comes meanwhile for the next try afterwards', async t => {
    const ends: (() => void)[] = [];
    const { deliverer, facts, claimed, jobs } = startDeliverer(t, () => new Promise(resolve => ends.push(resolve)));
    const [job] = jobs(1);
    assert.ok(job);
    const taken = [deliverer.take([job])];
    await eventually(() => ends.length === 1);
    // It is due once more when its first try ends, and then no more.
    taken.push(deliverer.take([job]), deliverer.take([job]));
    ends.pop()?.();
    await eventually(() => ends.length === 1);
    facts.find = async () => null;
    ends.pop()?.();
    assert.deepEqual(await outcomes(taken.flat()), ['done', 'done', 'done']);
    assert.deepEqual(claimed, [job.emailId, job.emailId]);
  });

  it('leaves what waits when it stops, also where its job came twice', async t => {
    const { deliverer, claimed, jobs } = startDeliverer(t, untilAborted);
    const taken = jobs(CONCURRENCY + 5);
    const first = deliverer.take(taken);
    await eventually(() => claimed.length > 0);
    const again = deliverer.take(taken);
    await deliverer.stop(0);
    const came = await outcomes(first);
    assert.equal(came.filter(outcome => outcome === 'left').length, taken.length - claimed.length);
    assert.deepEqual(
      await outcomes(again),
      taken.map(() => 'left'),
    );
  });

  it('hands back all that has not begun when it stops', async t => {
    const { deliverer, handedBack, claimed, jobs } = startDeliverer(
      t,
      (_claim, _trace, { stopping }) =>
        new Promise((_, reject) => stopping.addEventListener('abort', () => reject(new HandedBack()))),
    );
    const taken = jobs(3 * CONCURRENCY);
    const answers = outcomes(deliverer.take(taken));
    await eventually(() => claimed.length > 0);
    await deliverer.stop(1_000);
    assert.deepEqual(
      await answers,
      taken.map(() => 'left'),
    );
    assert.deepEqual(handedBack.toSorted(), claimed.toSorted());
  });

  it('gives back what it was claiming at the moment of its stop', async t => {
    const { deliverer, claims, handedBack, jobs } = startDeliverer(t, untilAborted);
    const { promise, resolve } = Promise.withResolvers<void>();
    let asked = false;
    claims.take = async ids => {
      asked = true;
      await promise;
      return ids.map(claim);
    };
    const [job] = jobs(1);
    assert.ok(job);
    const answer = deliverer.take([job]);
    await eventually(() => asked);
    const stopping = deliverer.stop(1_000);
    resolve();
    await stopping;
    assert.deepEqual(handedBack, [job.emailId]);
    assert.deepEqual(await outcomes(answer), ['left']);
  });

  it('sends what it got, and leaves what it cannot ask about', async t => {
    const { deliverer, facts, jobs } = startDeliverer(t, async () => {});
    const [got, theirs, done] = jobs(3);
    facts.find = async id => (id === got?.emailId ? factsOf(id) : null);
    facts.isForeign = async id => id === theirs?.emailId;
    const batch = [theirs, got, done].filter(job => job !== undefined);
    assert.deepEqual(await outcomes(deliverer.take(batch)), ['foreign', 'done', 'done']);
    facts.isForeign = async () => {
      throw Object.assign(new Error('no such table'), { code: '42P01' });
    };
    assert.deepEqual(await outcomes(deliverer.take(batch)), ['left', 'done', 'left']);
  });

  it('has no room while the database is away, and goes on by itself when it is back', async t => {
    const { deliverer, facts, jobs } = startDeliverer(t, async () => {});
    const { find } = facts;
    let isAway = true;
    facts.find = async id => {
      if (isAway) throw new Error('the database is away');
      return find(id);
    };
    const answers = outcomes(deliverer.take(jobs(3)));
    await eventually(() => deliverer.room === 0);
    isAway = false;
    assert.deepEqual(await answers, ['done', 'done', 'done']);
    assert.equal(deliverer.room, PLACES);
  });

  it('leaves a claim to run out when a try fails unexpectedly, so that it is not tried without a pause', async t => {
    const { deliverer, handedBack, jobs } = startDeliverer(t, async () => {
      throw new Error('a mistake');
    });
    assert.deepEqual(await outcomes(deliverer.take(jobs(2))), ['left', 'left']);
    assert.deepEqual(handedBack, []);
  });

  it('keeps a few messages of a way that is shut, and puts the others off without a claim', async t => {
    const { deliverer, circuit, claimed, putOff, jobs } = startDeliverer(t, async () => {});
    circuit.tell('paused', circuit.begin());
    const taken = jobs(30);
    const came = deliverer.take(taken);
    await eventually(() => putOff.length === 20);
    assert.deepEqual(claimed, []);
    for (const { afterMs, standsStill, error } of putOff) {
      assert.ok(afterMs > 10_000 && afterMs < 320_000, `${afterMs}`);
      assert.equal(standsStill, true);
      assert.equal(error?.code, 'RouteUnavailable');
    }
    const done = await Promise.all(came.map(async outcome => Promise.race([outcome, 'waits'])));
    assert.equal(done.filter(outcome => outcome === 'done').length, 20);
    // A claim that has run out is not taken for a way that is shut.
    assert.equal(deliverer.room, PLACES - 10);
  });

  it('gives up what is too old by the time that its way is shut', async t => {
    const { deliverer, circuit, facts, givenUp, jobs } = startDeliverer(t, async () => {});
    circuit.tell('connect', circuit.begin());
    circuit.tell('paused', circuit.begin());
    const old = new Set<string>();
    let found = 0;
    facts.find = async id => {
      found += 1;
      return factsOf(id, { acceptedAt: new Date(old.has(id) ? Date.now() - 3_700_000 : Date.now()) });
    };
    deliverer.take(jobs(10));
    await eventually(() => found === 10);
    const late = jobs(5);
    for (const { emailId } of late) old.add(emailId);
    assert.deepEqual(
      await outcomes(deliverer.take(late)),
      late.map(() => 'done'),
    );
    assert.deepEqual(givenUp.toSorted(), [...old].toSorted());
  });
});

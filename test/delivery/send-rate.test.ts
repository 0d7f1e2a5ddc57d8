import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { DEFAULT_RATE, SendRates } from '../../src/delivery/transport/ses/rate/account.ts';
import { SendRate } from '../../src/delivery/transport/ses/rate/buckets.ts';

const NEVER = new AbortController().signal;

/** A limiter, time that passes only when it is told to, and who may go: `<name>@<ms>`. */
function setUp(rate: number) {
  let now = 0;
  const limiter = new SendRate(rate, () => now);
  const went: string[] = [];
  return {
    limiter,
    went,
    advance(milliseconds: number) {
      now += milliseconds;
    },
    /** Waits for one after the other, for no longer than so many milliseconds in all. */
    run(calls: readonly (readonly [name: string, recipients: number])[], longest = 60_000) {
      for (const [name, recipients] of calls) {
        for (let wait = limiter.waitFor(recipients); wait > 0; wait = limiter.waitFor(recipients)) {
          if (now + wait > longest) return;
          now += wait;
        }
        limiter.take(recipients);
        went.push(`${name}@${now}`);
      }
    },
  };
}

function ones(names: string): (readonly [string, number])[] {
  return [...names].map(name => [name, 1] as const);
}

describe('SendRate', () => {
  it('lets one second’s worth through at once, and the rest evenly', () => {
    const { run, went } = setUp(4);
    run(ones('abcdef'));
    assert.deepEqual(went, ['a@0', 'b@0', 'c@0', 'd@0', 'e@250', 'f@500']);
  });

  it('never lets more through than burst and rate allow, and does not lose any', () => {
    const { run, went } = setUp(100);
    run(ones('x'.repeat(1_000)), 5_000);
    assert.ok(went.length >= 595 && went.length <= 600, String(went.length));
  });

  it('does not save up more than a second', () => {
    const { run, went, advance } = setUp(2);
    advance(60_000);
    run(ones('abc'), 60_000);
    assert.deepEqual(went, ['a@60000', 'b@60000']);
  });

  it('counts recipients: a call for more than a second’s worth goes, and the next waits for all of them', () => {
    const { run, went } = setUp(10);
    run([
      ['many', 50],
      ['one', 1],
    ]);
    assert.deepEqual(went, ['many@0', 'one@4100']);
  });

  it('says how long without taking anything', () => {
    const { limiter } = setUp(1);
    for (let times = 0; times < 5; times += 1) assert.equal(limiter.waitFor(1), 0);
    limiter.take(1);
    for (let times = 0; times < 5; times += 1) assert.equal(limiter.waitFor(1), 1_000);
  });

  it('goes slower at once when throttled, and comes back within a minute', () => {
    const { advance, limiter } = setUp(100);
    limiter.throttled();
    // The calls that were under way together hear of it together, and that is one time.
    limiter.throttled();
    assert.equal(Math.round(limiter.current), 70);
    assert.ok(limiter.waitFor(1) > 0, 'what was saved up is gone');
    advance(1_000);
    assert.equal(limiter.waitFor(1), 0);
    limiter.throttled();
    assert.equal(Math.round(limiter.current), 50);
    advance(60_000);
    assert.equal(limiter.current, 100);
  });

  it('never comes to a standstill', () => {
    const { advance, limiter, run, went } = setUp(0);
    for (let index = 0; index < 100; index += 1) {
      limiter.throttled();
      advance(1_000);
    }
    limiter.setRate(5);
    run(ones('a'), 160_000);
    assert.equal(went.length, 1);
  });

  it('takes up a new rate at once', () => {
    const { limiter, advance } = setUp(1);
    limiter.take(1);
    advance(100);
    limiter.setRate(1_000);
    assert.ok(limiter.waitFor(1) <= 1);
  });
});

describe('SendRates', () => {
  const logger = pino({ level: 'silent' });

  const says = (rate: number) => async () => ({ rate, quota: null, sent: null });
  const now = () => 1_000;

  /** How many recipients of many are let through at once. */
  async function burst(rates: SendRates, region = 'us-east-1'): Promise<number> {
    const stop = new AbortController();
    let admitted = 0;
    const all = Array.from({ length: 200 }, () => rates.take(region, 1, stop.signal).then(() => ++admitted));
    for (let turns = 0; turns < 300; turns += 1) await setImmediate();
    await sleep(30);
    stop.abort();
    await Promise.allSettled(all);
    return admitted;
  }

  it("divides the account's rate by the workers that live", async () => {
    const rates = new SendRates({ quota: says(90), fixedRate: 0, liveWorkers: () => 3, logger, now });
    assert.equal(await burst(rates), 30);
  });

  it('asks for each region once, and again after a while', async () => {
    let now = 0;
    const asked: string[] = [];
    const quota = async (region: string) => {
      asked.push(region);
      return { rate: 100, quota: null, sent: null };
    };
    const rates = new SendRates({ quota, fixedRate: 0, liveWorkers: () => 1, logger, now: () => now });
    await Promise.all(['us-east-1', 'us-east-1', 'eu-west-1'].map(region => rates.take(region, 1, NEVER)));
    now = 59_000;
    await rates.take('us-east-1', 1, NEVER);
    assert.deepEqual(asked, ['us-east-1', 'eu-west-1']);
    now = 61_000;
    await rates.take('us-east-1', 1, NEVER);
    assert.deepEqual(asked, ['us-east-1', 'eu-west-1', 'us-east-1']);
  });

  it('goes on with what it knows where the quota cannot be asked for', async () => {
    const quota = () => Promise.reject(new Error('AccessDeniedException'));
    const rates = new SendRates({ quota, fixedRate: 0, liveWorkers: () => 1, logger, now });
    assert.equal(await burst(rates), DEFAULT_RATE);
  });

  it('does not wait for SES where the rate is configured', async () => {
    const quota = () => Promise.reject(new Error('AccessDeniedException'));
    const rates = new SendRates({ quota, fixedRate: 20, liveWorkers: () => 2, logger, now });
    assert.equal(await burst(rates), 10);
  });

  it('throttles one region only', async () => {
    const rates = new SendRates({ quota: says(50), fixedRate: 0, liveWorkers: () => 1, logger, now });
    await Promise.all(['us-east-1', 'eu-west-1'].map(region => rates.take(region, 1, NEVER)));
    rates.allowance('us-east-1').throttled();
    assert.equal(await burst(rates, 'us-east-1'), 0);
    assert.equal(await burst(rates, 'eu-west-1'), 49);
  });
});

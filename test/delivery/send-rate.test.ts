import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { type Clock, SendRate } from '../../src/delivery/send-rate.ts';
import { DEFAULT_RATE, SendRates } from '../../src/delivery/send-rates.ts';

const NEVER = new AbortController().signal;

/** Time that passes only when it is told to. */
class ManualClock implements Clock {
  #now = 0;
  #timers: { readonly at: number; readonly run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, run: () => void): () => void {
    const timer = { at: this.#now + milliseconds, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter(other => other !== timer);
    };
  }

  /** Lets all that becomes due happen in its order, promises included. */
  async advance(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await setImmediate();
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter(timer => timer !== due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
      await setImmediate();
    }
    this.#now = end;
    await setImmediate();
  }
}

/** A limiter and what it has let through: entries `<name>@<ms>`. */
function setUp(rate: number) {
  const clock = new ManualClock();
  const limiter = new SendRate(rate, clock);
  const admitted: string[] = [];
  const ask = (name: string, recipients = 1, signal = NEVER) =>
    limiter.take(recipients, signal).then(
      () => void admitted.push(`${name}@${clock.now()}`),
      () => void admitted.push(`${name} aborted`),
    );
  return { clock, limiter, admitted, ask };
}

describe('SendRate', () => {
  it('lets one second’s worth through at once, and the rest evenly', async () => {
    const { clock, admitted, ask } = setUp(4);
    for (const name of 'abcdef') void ask(name);
    await clock.advance(0);
    assert.deepEqual(admitted, ['a@0', 'b@0', 'c@0', 'd@0']);
    await clock.advance(1_000);
    assert.deepEqual(admitted.slice(4), ['e@250', 'f@500']);
  });

  it('never lets more through than burst and rate allow, and does not lose any', async () => {
    const { clock, admitted, ask } = setUp(100);
    for (let index = 0; index < 1_000; index += 1) void ask(String(index));
    await clock.advance(5_000);
    assert.ok(admitted.length >= 595 && admitted.length <= 600, String(admitted.length));
    await clock.advance(5_000);
    assert.equal(admitted.length, 1_000);
    assert.deepEqual(
      admitted.map(entry => Number(entry.split('@')[0])),
      [...Array(1_000).keys()],
    );
  });

  it('does not save up more than a second', async () => {
    const { clock, admitted, ask } = setUp(2);
    await clock.advance(60_000);
    for (const name of 'abc') void ask(name);
    await clock.advance(0);
    assert.equal(admitted.length, 2);
  });

  it('counts recipients: a call for more than a second’s worth goes, and the next waits for all of them', async () => {
    const { clock, admitted, ask } = setUp(10);
    void ask('many', 50);
    void ask('one');
    await clock.advance(10_000);
    assert.deepEqual(admitted, ['many@0', 'one@4100']);
  });

  it('keeps the order: one is not let past many', async () => {
    const { clock, admitted, ask } = setUp(10);
    void ask('first', 10);
    void ask('many', 10);
    void ask('one');
    await clock.advance(10_000);
    assert.deepEqual(admitted, ['first@0', 'many@1000', 'one@1100']);
  });

  it('forgets those who have stopped waiting', async () => {
    const { clock, admitted, ask } = setUp(1);
    const stop = new AbortController();
    void ask('a');
    void ask('b', 1, stop.signal);
    void ask('c');
    await clock.advance(500);
    stop.abort();
    await clock.advance(500);
    assert.deepEqual(admitted, ['a@0', 'b aborted', 'c@1000']);
    await assert.rejects(() => setUp(1).limiter.take(1, stop.signal), { name: 'AbortError' });
  });

  it('goes slower at once when throttled, and comes back within a minute', async () => {
    const { clock, limiter, ask, admitted } = setUp(100);
    limiter.throttled();
    // The calls that were under way together hear of it together, and that is one time.
    limiter.throttled();
    assert.equal(Math.round(limiter.current), 70);
    void ask('next');
    await clock.advance(0);
    assert.deepEqual(admitted, [], 'what was saved up is gone');
    await clock.advance(1_000);
    assert.equal(admitted.length, 1);
    limiter.throttled();
    assert.equal(Math.round(limiter.current), 50);
    await clock.advance(60_000);
    assert.equal(limiter.current, 100);
  });

  it('never comes to a standstill', async () => {
    const { clock, limiter, ask, admitted } = setUp(0);
    for (let index = 0; index < 100; index += 1) {
      limiter.throttled();
      await clock.advance(1_000);
    }
    limiter.setRate(5);
    void ask('a');
    await clock.advance(60_000);
    assert.equal(admitted.length, 1);
  });

  it('takes up a new rate while others wait', async () => {
    const { clock, limiter, ask, admitted } = setUp(1);
    for (const name of 'abc') void ask(name);
    await clock.advance(100);
    limiter.setRate(1_000);
    await clock.advance(10);
    assert.equal(admitted.length, 3);
  });
});

describe('SendRates', () => {
  const logger = pino({ level: 'silent' });

  /** For as long as the test runs. */
  function stopTheClock(t: TestContext): void {
    t.mock.method(performance, 'now', () => 1_000);
  }

  /** How many recipients of many are let through at once. */
  async function burst(rates: SendRates, region = 'us-east-1'): Promise<number> {
    const stop = new AbortController();
    let admitted = 0;
    const all = Array.from({ length: 200 }, () => rates.take(region, 1, stop.signal).then(() => ++admitted));
    await setImmediate();
    stop.abort();
    await Promise.allSettled(all);
    return admitted;
  }

  it("divides the account's rate by the workers that live", async t => {
    stopTheClock(t);
    const rates = new SendRates({ quota: async () => 90, fixedRate: 0, liveWorkers: () => 3, logger });
    assert.equal(await burst(rates), 30);
  });

  it('asks for each region once, and again after a while', async () => {
    let now = 0;
    const asked: string[] = [];
    const quota = async (region: string) => {
      asked.push(region);
      return 100;
    };
    const rates = new SendRates({ quota, fixedRate: 0, liveWorkers: () => 1, logger, now: () => now });
    await Promise.all(['us-east-1', 'us-east-1', 'eu-west-1'].map(region => rates.take(region, 1, NEVER)));
    now = 299_000;
    await rates.take('us-east-1', 1, NEVER);
    assert.deepEqual(asked, ['us-east-1', 'eu-west-1']);
    now = 301_000;
    await rates.take('us-east-1', 1, NEVER);
    assert.deepEqual(asked, ['us-east-1', 'eu-west-1', 'us-east-1']);
  });

  it('goes on with what it knows where the quota cannot be asked for', async t => {
    stopTheClock(t);
    const quota = () => Promise.reject(new Error('AccessDeniedException'));
    const rates = new SendRates({ quota, fixedRate: 0, liveWorkers: () => 1, logger });
    assert.equal(await burst(rates), DEFAULT_RATE);
  });

  it('does not ask where the rate is configured', async t => {
    stopTheClock(t);
    const quota = () => assert.fail('asked');
    const rates = new SendRates({ quota, fixedRate: 20, liveWorkers: () => 2, logger });
    assert.equal(await burst(rates), 10);
  });

  it('throttles one region only', async t => {
    stopTheClock(t);
    const rates = new SendRates({ quota: async () => 50, fixedRate: 0, liveWorkers: () => 1, logger });
    await Promise.all(['us-east-1', 'eu-west-1'].map(region => rates.take(region, 1, NEVER)));
    rates.throttled('us-east-1');
    assert.equal(await burst(rates, 'us-east-1'), 0);
    assert.equal(await burst(rates, 'eu-west-1'), 49);
  });
});

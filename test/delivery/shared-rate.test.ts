import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { SendAllowance } from '../../src/delivery/transport/contract.ts';
import { createSesMetrics } from '../../src/delivery/transport/ses/metrics.ts';
import { SendRates } from '../../src/delivery/transport/ses/rate/account.ts';
import type { RateStore } from '../../src/delivery/transport/ses/rate/buckets.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { type AccountQuota, SharedSendRates } from '../../src/store/delivery/send-rates.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';

const REGION = 'eu-west-1';
const databaseUrl = await createDatabase({ after });
const pools: pg.Pool[] = [];
after(() => Promise.all(pools.map(pool => pool.end())));
const pool = connect();

function connect(): pg.Pool {
  const opened = openPool(databaseUrl);
  pools.push(opened);
  return opened;
}

interface WorkerOptions {
  readonly store?: RateStore;
  readonly quota?: () => Promise<AccountQuota>;
  readonly fixedRate?: number;
}

/** What a worker of its own, with connections of its own, knows of the rate. */
function worker(rate: number, options: WorkerOptions = {}) {
  const lines: { readonly level: number; readonly msg: string }[] = [];
  const registry = createRegistry();
  let now = 0;
  const allowance = new SendRates({
    quota: async () => ({ rate, quota: null, sent: null }),
    store: new SharedSendRates(connect()),
    fixedRate: 0,
    account: 'acme',
    liveWorkers: () => 2,
    metrics: createSesMetrics(registry),
    logger: createLogger({
      level: 'info',
      format: 'json',
      destination: { write: line => lines.push(JSON.parse(line)) },
    }),
    now: () => performance.now() + now,
    ...options,
  }).allowance(REGION);
  const forward = (milliseconds: number) => {
    now += milliseconds;
  };
  return { allowance, lines, registry, forward };
}

/** Milliseconds of a turn below, unless the machine stands still. */
const LONGEST_TURN = 100;

/** Takes as much as it gets, one by one. @returns how much, and in how many seconds, those included in which the machine stood still */
async function takeAll(
  allowance: SendAllowance,
  milliseconds: number,
  recipients = 1,
): Promise<{ readonly taken: number; readonly seconds: number }> {
  const began = performance.now();
  let taken = 0;
  // Where the machine stands still, that is not counted, nor is what it would have got meanwhile.
  for (let left = milliseconds, before = performance.now(); left > 0; ) {
    const wait = allowance.waitFor(recipients);
    if (wait > 0) await sleep(Math.min(wait, 20));
    else {
      allowance.take(recipients);
      taken += recipients;
    }
    const now = performance.now();
    left -= Math.min(now - before, LONGEST_TURN);
    before = now;
  }
  return { taken, seconds: (performance.now() - began) / 1_000 };
}

/** Until SES and the database have been asked. */
async function isReady(allowance: SendAllowance): Promise<void> {
  await eventually(() => allowance.waitFor(1) === 0);
}

/** As if it was so long ago. */
async function passTime(seconds: number): Promise<void> {
  await pool.query(
    `update smtp_relay_send_rates
        set next_at = next_at - make_interval(secs => $1), factor_at = factor_at - make_interval(secs => $1),
            throttled_at = throttled_at - make_interval(secs => $1), asked_at = asked_at - make_interval(secs => $1),
            answered_at = answered_at - make_interval(secs => $1)`,
    [seconds],
  );
}

async function factor(): Promise<number> {
  return (await pool.query('select factor from smtp_relay_send_rates')).rows[0].factor;
}

describe('the send rate of several workers', () => {
  beforeEach(() => pool.query('truncate smtp_relay_send_rates'));

  it('is theirs together, in about equal parts where all want it', async () => {
    const [one, two] = [worker(100), worker(100)];
    await Promise.all([isReady(one.allowance), isReady(two.allowance)]);
    const parts = await Promise.all([takeAll(one.allowance, 3_000), takeAll(two.allowance, 3_000)]);
    const all = parts[0].taken + parts[1].taken;
    const seconds = Math.max(...parts.map(part => part.seconds));
    // What is there at the start, and what each has taken ahead.
    assert.ok(all <= 100 * (seconds + 1) + 20, `${all} in ${seconds} s`);
    assert.ok(all >= 100 * 3 * 0.8, `${all} in ${seconds} s`);
    for (const { taken } of parts) assert.ok(taken > all * 0.25, `${taken} of ${all}`);
  });

  it('is all for one while the others send nothing', async () => {
    const [busy, idle] = [worker(100), worker(100)];
    await Promise.all([isReady(busy.allowance), isReady(idle.allowance)]);
    const { taken, seconds } = await takeAll(busy.allowance, 3_000);
    assert.ok(taken >= 100 * 3 * 0.8 && taken <= 100 * (seconds + 1) + 20, `${taken} in ${seconds} s`);
  });

  it('does not run ahead after calls for many', async () => {
    const { allowance } = worker(10);
    await eventually(() => allowance.waitFor(50) === 0);
    allowance.take(50);
    const { waitMs } = await new SharedSendRates(pool).take(await keyOf(), 1, 10, null);
    assert.ok(waitMs > 3_500 && waitMs <= 4_200, `${waitMs} ms`);
  });

  it('goes down for all where one is throttled, once a second at most, and comes back', async () => {
    const [one, two] = [worker(100), worker(100)];
    await Promise.all([isReady(one.allowance), isReady(two.allowance)]);
    one.allowance.throttled();
    two.allowance.throttled();
    await eventually(async () => (await factor()) < 1);
    await sleep(100);
    assert.ok(Math.abs((await factor()) - 0.7) < 0.01, String(await factor()));
    const parts = await Promise.all([takeAll(one.allowance, 2_000), takeAll(two.allowance, 2_000)]);
    const all = parts[0].taken + parts[1].taken;
    const seconds = Math.max(...parts.map(part => part.seconds));
    assert.ok(all <= 80 * seconds + 30, `${all} in ${seconds} s: nothing was saved up, and less comes`);
    await passTime(2);
    two.allowance.throttled();
    await eventually(async () => (await factor()) < 0.56);
    await passTime(60);
    await takeAll(one.allowance, 500);
    assert.equal(await factor(), 1);
  });

  it("is each one's part while the database is away, and shared again afterwards", async () => {
    const real = new SharedSendRates(connect());
    let isAway = false;
    const store: RateStore = {
      take: (...args) => (isAway ? Promise.reject(new Error('Connection terminated')) : real.take(...args)),
      throttle: key => real.throttle(key),
      beginAsking: (...args) => real.beginAsking(...args),
      note: (...args) => real.note(...args),
      read: key => real.read(key),
    };
    const { allowance, lines, forward } = worker(100, { store });
    await isReady(allowance);
    isAway = true;
    await eventually(async () => (await takeAll(allowance, 100)) && lines.length > 0);
    await takeAll(allowance, 200);
    const { taken, seconds } = await takeAll(allowance, 2_000);
    assert.ok(taken >= 60 && taken <= 50 * (seconds + 1), `${taken} in ${seconds} s: half of it for one of two`);
    isAway = false;
    forward(6_000);
    const { taken: shared } = await takeAll(allowance, 2_000);
    assert.ok(shared >= 160, String(shared));
  });

  it('is asked of SES by one of them', async () => {
    let asked = 0;
    const quota = async () => {
      asked += 1;
      return { rate: 50, quota: null, sent: null };
    };
    const one = worker(0, { quota });
    await isReady(one.allowance);
    const two = worker(0, { quota });
    await isReady(two.allowance);
    assert.equal(asked, 1);
    await passTime(61);
    one.forward(61_000);
    two.forward(61_000);
    await Promise.all([takeAll(one.allowance, 300), takeAll(two.allowance, 300)]);
    assert.equal(asked, 2);
  });
});

describe('the daily quota of an account', () => {
  beforeEach(() => pool.query('truncate smtp_relay_send_rates'));

  it('is known before it is used up, by what all workers have sent since SES was asked', async () => {
    let sent = 700;
    const quota = async () => ({ rate: 1_000, quota: 1_000, sent });
    const [one, two] = [worker(0, { quota }), worker(0, { quota })];
    await isReady(one.allowance);
    await isReady(two.allowance);
    assert.ok((one.allowance.quotaLeft ?? 0) <= 300 && (one.allowance.quotaLeft ?? 0) > 0);
    assert.deepEqual(one.lines, []);
    const parts = await Promise.all([takeAll(one.allowance, 2_000), takeAll(two.allowance, 2_000)]);
    const all = parts[0].taken + parts[1].taken;
    assert.ok(all <= 300 && all > 50, `${all}`);
    assert.equal(one.allowance.quotaLeft, 0);
    assert.equal(two.allowance.quotaLeft, 0);
    assert.ok(one.allowance.waitFor(1) > 0);
    const said = one.lines.map(({ level, msg }) => `${level} ${msg}`);
    assert.match(said.at(-1) ?? '', /^50 SES takes nothing more/);
    const text = await one.registry.metrics();
    assert.match(text, /^smtp_relay_ses_daily_quota_recipients\{region="eu-west-1",account="default"\} 1000$/m);
    assert.match(text, /^smtp_relay_ses_daily_quota_used_ratio\{region="eu-west-1",account="default"\} 1$/m);
    // A day's window moves.
    sent = 400;
    await passTime(61);
    one.forward(61_000);
    await isReady(one.allowance);
    assert.ok((one.allowance.quotaLeft ?? 0) > 300);
  });

  it('is warned of when four fifths and when nineteen twentieths of it are used, once each', async () => {
    let sent = 0;
    const { allowance, lines, forward } = worker(0, { quota: async () => ({ rate: 5, quota: 1_000, sent }) });
    const said: string[] = [];
    for (const now of [100, 790, 810, 850, 940, 960, 930, 970, 100, 850]) {
      sent = now;
      // An answer of before may be heard behind that of SES, and counts until the next.
      await eventually(async () => {
        await passTime(61);
        forward(61_000);
        assert.ok(allowance.waitFor(1) >= 0);
        await sleep(50);
        return Math.abs((allowance.quotaLeft ?? 0) - (1_000 - now)) <= 1;
      });
      const levels = lines.splice(0).map(({ msg }) => Number(/^\d+/.exec(msg)?.[0]));
      // Where an answer of before was heard last, it was warned of once more.
      said.push(`${now}: ${levels.filter(level => level * 10 <= now)}`);
    }
    assert.deepEqual(said, [
      '100: ',
      '790: ',
      '810: 80',
      '850: ',
      '940: ',
      '960: 95',
      '930: ',
      '970: ',
      '100: ',
      '850: 80',
    ]);
  });

  it('is none where SES says so, and is forgotten where SES cannot be asked any more', async () => {
    const unlimited = worker(0, { quota: async () => ({ rate: 100, quota: null, sent: 5 }) });
    await isReady(unlimited.allowance);
    assert.equal(unlimited.allowance.quotaLeft, null);
    await pool.query('truncate smtp_relay_send_rates');
    let answers = 0;
    const quota = async () => {
      answers += 1;
      if (answers > 1) throw new Error('AccessDeniedException');
      return { rate: 100, quota: 10, sent: 10 };
    };
    const { allowance, forward } = worker(0, { quota });
    await eventually(() => allowance.quotaLeft === 0);
    await passTime(16 * 60);
    forward(16 * 60_000);
    await isReady(allowance);
    assert.equal(allowance.quotaLeft, null);
  });

  it('does not keep a rate that is configured from being one', async () => {
    const { allowance } = worker(0, { fixedRate: 20, quota: () => Promise.reject(new Error('AccessDeniedException')) });
    await isReady(allowance);
    const { taken, seconds } = await takeAll(allowance, 2_000);
    assert.ok(taken >= 30 && taken <= 20 * (seconds + 1) + 2, `${taken} in ${seconds} s`);
  });
});

async function keyOf() {
  return (await pool.query('select region, account from smtp_relay_send_rates')).rows[0];
}

import assert from 'node:assert/strict';
import { after, beforeEach, describe, it } from 'node:test';
import type pg from 'pg';
import type { SendJob } from '../../src/message/send-job.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { listenTo, OUTBOX_CHANNEL } from '../../src/postgres/notifications.ts';
import type { JobSink } from '../../src/queue/jobs.ts';
import { createOutboxSource, type OutboxSourceOptions } from '../../src/queue/outbox-source.ts';
import { createQueueMetrics } from '../../src/queue/telemetry.ts';
import { Outbox } from '../../src/store/messages/outbox.ts';
import { createDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { openPool } from '../support/pool.ts';
import { storeMessage } from '../support/stored.ts';
import { BatchSink, type HandleJobs } from './batch-sink.ts';
import { ManualSink } from './manual-sink.ts';

const pools: pg.Pool[] = [];
after(() => Promise.all(pools.map(pool => pool.end())));
const databaseUrl = await createDatabase({ after });
const pool = connect();
const logger = createLogger({ level: 'silent', format: 'json' });

interface TestContext {
  after(fn: () => Promise<void>): void;
}

function connect(): pg.Pool {
  const opened = openPool(databaseUrl);
  pools.push(opened);
  return opened;
}

const INSERT = `
  insert into smtp_relay_outbox (email_id, user_id, correlation_id, traceparent, due_at)
  select gen_random_uuid(), $1, repeat('c', 32), '', now() + make_interval(secs => $3) from generate_series(1, $2::integer)`;

async function fill(userId: string, count: number, dueIn = 0): Promise<void> {
  await pool.query(INSERT, [userId, count, dueIn]);
}

async function countEntries(condition = 'true'): Promise<number> {
  const { rows } = await pool.query(`select count(*)::integer as count from smtp_relay_outbox where ${condition}`);
  return rows[0].count;
}

const DEAF = () => ({ stop: async () => {} });

function listen(wake: () => void) {
  const channel = OUTBOX_CHANNEL;
  return listenTo({ databaseUrl, channel, connectTimeout: 60_000, onNotification: wake, logger });
}

interface SourceParts {
  readonly options?: Partial<OutboxSourceOptions>;
  /** Jobs in hand at most. */
  readonly limit?: number;
  readonly listen?: typeof listen;
  readonly outbox?: Outbox;
}

function startSource(t: TestContext, handler: HandleJobs | JobSink, parts: SourceParts = {}) {
  const source = createOutboxSource({
    outbox: parts.outbox ?? new Outbox(pool),
    listen: parts.listen ?? DEAF,
    sink:
      typeof handler === 'function' ? new BatchSink({ handle: handler, limit: parts.limit ?? 100, logger }) : handler,
    logger,
    metrics: createQueueMetrics(createRegistry()),
    options: { pollInterval: 50, leaseTime: 60_000, ...parts.options },
  });
  source.start();
  t.after(async () => {
    // Who stops waits for what is in hand.
    if (handler instanceof ManualSink) handler.close();
    await source.stop();
  });
  return source;
}

describe('createOutboxSource', () => {
  beforeEach(() => pool.query('truncate smtp_relay_outbox'));

  it('shares all entries between two workers, and none is left', async t => {
    await fill('a', 300);
    await fill('b', 300);
    const taken: string[] = [];
    const handle: HandleJobs = async jobs => {
      taken.push(...jobs.map(({ emailId }) => emailId));
      return jobs.map(() => 'done' as const);
    };
    startSource(t, handle);
    startSource(t, handle, { outbox: new Outbox(connect()) });
    await eventually(async () => (await countEntries()) === 0);
    assert.equal(taken.length, 600);
    assert.equal(new Set(taken).size, 600);
  });

  it('hears of new jobs at once, long before it looks', async t => {
    const heard = Array.from({ length: 10 }, () => Promise.withResolvers<number>());
    let count = 0;
    const handle: HandleJobs = async jobs => {
      heard[count++]?.resolve(performance.now());
      return jobs.map(() => 'done' as const);
    };
    let listening = 0;
    const onWake = (wake: () => void) =>
      listen(() => {
        listening += 1;
        wake();
      });
    startSource(t, handle, { listen: onWake, options: { pollInterval: 600_000 } });
    await eventually(() => listening === 1);
    const times: number[] = [];
    for (const { promise } of heard) {
      const before = performance.now();
      await storeMessage(pool);
      times.push((await promise) - before);
    }
    // The quickest shows what it takes where nothing else keeps the machine busy.
    assert.ok(Math.min(...times) < 1_000, `${times} ms`);
  });

  it('listens again after its connection was lost', async t => {
    let woken = 0;
    const listener = listen(() => (woken += 1));
    t.after(() => listener.stop());
    await eventually(() => woken === 1);
    const { rows } = await pool.query(
      "select pg_terminate_backend(pid) as ended from pg_stat_activity where application_name = 'smtp-relay listen' and datname = current_database()",
    );
    assert.deepEqual(rows, [{ ended: true }]);
    await eventually(() => woken === 2);
    await pool.query(`select pg_notify('${OUTBOX_CHANNEL}', '')`);
    await eventually(() => woken === 3);
  });

  it('finds jobs by looking where nothing is heard, and those of which the time comes', async t => {
    const taken: SendJob[] = [];
    startSource(t, async jobs => {
      taken.push(...jobs);
      return jobs.map(() => 'done' as const);
    });
    await fill('later', 1, 2);
    await fill('now', 1);
    await eventually(() => taken.length === 2);
    assert.deepEqual(
      taken.map(({ userId }) => userId),
      ['now', 'later'],
    );
    assert.ok(await eventually(async () => (await countEntries()) === 0));
  });

  it('takes an owner up while another keeps part of it busy, as far as there is room', async t => {
    await fill('slow', 500);
    const counts = { slow: 0, quick: 0 };
    let finish = (): void => {};
    const finished = new Promise<void>(resolve => (finish = resolve));
    startSource(
      t,
      async jobs => {
        for (const { userId } of jobs) counts[userId as 'slow' | 'quick'] += 1;
        if (jobs.some(({ userId }) => userId === 'slow') && counts.slow <= 90) await finished;
        return jobs.map(() => 'done' as const);
      },
      { limit: 100 },
    );
    await eventually(() => counts.slow >= 90);
    await fill('quick', 5);
    await eventually(() => counts.quick === 5);
    assert.ok((await countEntries("user_id = 'slow'")) > 0, 'long before the other is done');
    finish();
    await eventually(async () => (await countEntries()) === 0);
  });

  it('leaves the jobs of owners of whom no more is wanted where they are, and takes them once they are wanted', async t => {
    await fill('sated', 300);
    await fill('other', 30);
    const sink = new ManualSink(200);
    sink.sated = ['sated', null];
    startSource(t, sink, { options: { pollInterval: 600_000 } });
    await eventually(() => sink.taken.length === 30);
    assert.ok(sink.taken.every(({ userId }) => userId === 'other'));
    sink.end(
      'done',
      sink.taken.slice(0, 29).map(({ emailId }) => emailId),
    );
    await eventually(async () => (await countEntries("user_id = 'other'")) === 1);
    assert.equal(await countEntries("user_id = 'sated' and leased_until is null and publish_attempts = 0"), 300);
    sink.sated = [];
    // The end of a job is when it hears of that.
    sink.end('done');
    await eventually(() => sink.room === 0);
    assert.equal(sink.most, 200, 'no more than there is room for');
    await eventually(async () => {
      sink.end('done');
      return (await countEntries()) === 0;
    });
    assert.equal(sink.taken.length, 330);
  });

  it('is done with each job by itself, and lets one come again when it is said to', async t => {
    await fill('a', 3);
    const sink = new ManualSink();
    startSource(t, sink);
    await eventually(() => sink.taken.length === 3);
    const [slow, again, done] = sink.taken.map(({ emailId }) => emailId) as [string, string, string];
    sink.end('done', [done]);
    const began = performance.now();
    sink.end({ againAfter: 1_500 }, [again]);
    await eventually(async () => (await countEntries()) === 2);
    await eventually(() => sink.taken.length === 4);
    assert.equal(sink.taken[3]?.emailId, again);
    assert.ok(performance.now() - began > 1_000, 'not at once');
    sink.end('done', [again, slow]);
    await eventually(async () => (await countEntries()) === 0);
  });

  it('renews leases while work lasts', async t => {
    await fill('a', 1);
    let begun = 0;
    let finish = (): void => {};
    const finished = new Promise<void>(resolve => (finish = resolve));
    startSource(
      t,
      async jobs => {
        begun += jobs.length;
        await finished;
        return jobs.map(() => 'done' as const);
      },
      { options: { leaseTime: 3_000 } },
    );
    await eventually(() => begun === 1);
    const { rows } = await pool.query('select leased_until as until from smtp_relay_outbox');
    await eventually(
      async () =>
        (await countEntries(`leased_until > '${rows[0].until.toISOString()}'::timestamptz + interval '1.5 s'`)) === 1,
    );
    assert.equal(begun, 1, 'it was never free');
    finish();
    await eventually(async () => (await countEntries()) === 0);
  });

  it('gives back at once what it could not finish when it stops', async t => {
    await fill('a', 15);
    let end = (): void => {};
    const ended = new Promise<void>(resolve => (end = resolve));
    let taken = 0;
    const source = startSource(t, async jobs => {
      taken += jobs.length;
      await ended;
      return jobs.map((_, index) => (index === 0 ? 'done' : 'left'));
    });
    await eventually(() => taken === 15);
    const stopping = source.stop();
    end();
    await stopping;
    assert.equal(await countEntries('leased_until is null'), 13);
    assert.equal(await countEntries(), 13);
  });

  it('tries again later what could not be handled, and takes no more meanwhile', async t => {
    await fill('a', 200);
    let works = false;
    let refused = 0;
    startSource(
      t,
      async jobs => {
        if (works) return jobs.map(() => 'done' as const);
        refused += jobs.length;
        throw new Error('the database is away');
      },
      { limit: 20 },
    );
    await eventually(() => refused > 0);
    works = true;
    assert.ok(refused <= 40, `${refused} refused`);
    await eventually(async () => (await countEntries()) === 0);
  });

  it('goes on by itself when the database is back', async t => {
    const outbox = new Outbox(pool);
    const take = outbox.takeInTurn.bind(outbox);
    let isDown = true;
    outbox.takeInTurn = async (...args) => {
      if (isDown) throw new Error('Connection terminated unexpectedly');
      return take(...args);
    };
    let handled = 0;
    const handle: HandleJobs = async jobs => {
      handled += jobs.length;
      return jobs.map(() => 'done' as const);
    };
    startSource(t, handle, { outbox });
    await fill('a', 1);
    await new Promise(resolve => setTimeout(resolve, 100));
    isDown = false;
    await eventually(() => handled === 1);
  });

  it('gives back after an outage what it could not give back in it, rather than leave it to its lease', async t => {
    const outbox = new Outbox(pool);
    let isDown = true;
    for (const statement of ['takeInTurn', 'postpone'] as const) {
      const whenUp = outbox[statement].bind(outbox) as (...input: unknown[]) => Promise<never>;
      let calls = 0;
      outbox[statement] = async (...input: unknown[]) => {
        const isFirstTake = statement === 'takeInTurn' && calls++ === 0;
        if (isDown && !isFirstTake) throw new Error('Connection terminated unexpectedly');
        return whenUp(...input);
      };
    }
    await fill('a', 5);
    let given = 0;
    let handled = 0;
    const handle: HandleJobs = async jobs => {
      given += jobs.length;
      if (isDown) throw new Error('Connection terminated unexpectedly');
      handled += jobs.length;
      return jobs.map(() => 'done' as const);
    };
    startSource(t, handle, { outbox });
    await eventually(() => given === 5);
    isDown = false;
    await eventually(() => handled === 5);
  });
});

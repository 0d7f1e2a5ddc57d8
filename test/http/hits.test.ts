import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { createRegistry } from '../../src/observability/metrics.ts';
import { BATCH, createHits, type Hit, type HitsOptions, type NewHit } from '../../src/tracking/hits.ts';
import { CLICK_PATH } from '../../src/tracking/token.ts';
import { eventually } from '../support/eventually.ts';
import { collectingLogger, openPublic } from './support/listeners.ts';

const emailId = randomUUID();

/** A store that can be told to fail, and keeps what it was given. */
function createRecorder() {
  const recorder = {
    batches: [] as Hit[][],
    calls: 0,
    fail: null as null | ((hits: readonly Hit[]) => Promise<void> | undefined),
    hits: () => recorder.batches.flat(),
    record: async (hits: readonly Hit[]) => {
      recorder.calls += 1;
      await recorder.fail?.(hits);
      recorder.batches.push([...hits]);
    },
  };
  return recorder;
}

function start(t: { after(fn: () => Promise<void>): void }, options: Partial<HitsOptions> = {}) {
  const recorder = createRecorder();
  const registry = createRegistry();
  const { logger, logs } = collectingLogger();
  const hits = createHits({
    record: recorder.record,
    logger,
    registry,
    interval: 5,
    hitsPerHour: () => 1_000_000,
    ...options,
  });
  t.after(() => hits.stop(10));
  const count = async (type: string, result: string) => {
    const line = `smtp_relay_tracking_hits_total{type="${type}",result="${result}"} `;
    const text = await registry.metrics();
    return Number(
      text
        .split('\n')
        .find(each => each.startsWith(line))
        ?.slice(line.length) ?? 0,
    );
  };
  return { hits, recorder, count, logs };
}

function click(part: Partial<NewHit> = {}): NewHit {
  return { type: 'clicked', emailId, url: 'https://a.example/', userAgent: 'Web', ...part };
}

function rejecting(properties: object) {
  return () => Promise.reject(Object.assign(new Error('no'), properties));
}

describe('hits', () => {
  it('are gathered and written together, each with an id of its own', async t => {
    const { hits, recorder, count } = start(t);
    hits.add(click());
    hits.add(click({ type: 'opened', url: null, userAgent: 'a'.repeat(1_000) }));
    await eventually(() => recorder.batches.length > 0);
    assert.deepEqual(
      recorder.batches.map(batch => batch.map(({ type, url, userAgent }) => [type, url, userAgent])),
      [
        [
          ['clicked', 'https://a.example/', 'Web'],
          ['opened', null, 'a'.repeat(512)],
        ],
      ],
    );
    assert.equal(new Set(recorder.hits().map(({ id }) => id)).size, 2);
    assert.deepEqual([await count('clicked', 'recorded'), await count('opened', 'recorded')], [1, 1]);
  });

  it('that are the same within a second count once', async t => {
    let now = 1_000;
    const { hits, recorder, count } = start(t, { now: () => now });
    for (const other of [{}, {}, { userAgent: 'Other' }, { url: 'https://b.example/' }]) hits.add(click(other));
    now += 999;
    hits.add(click());
    now += 2;
    hits.add(click());
    await hits.stop();
    assert.equal(recorder.hits().length, 4);
    assert.equal(await count('clicked', 'repeated'), 2);
  });

  it('of one message beyond what an hour shall have lead on, are counted, and make nothing', async t => {
    let now = 0;
    let most = 100;
    const { hits, recorder, count } = start(t, { now: () => now, hitsPerHour: () => most });
    const { url, tokens } = await openPublic(t, { hits });
    const link = `${url}${CLICK_PATH}${tokens.sign({ kind: 'click', emailId, url: 'https://a.example/' })}`;
    const hitTimes = async (times: number) => {
      for (let time = 0; time < times; time += 1) {
        now += 1_001;
        assert.equal((await fetch(link, { redirect: 'manual' })).status, 302);
      }
    };
    await hitTimes(500);
    hits.add(click({ type: 'opened', url: null }));
    hits.add(click({ emailId: randomUUID() }));
    assert.deepEqual([await count('clicked', 'capped'), await count('opened', 'capped')], [400, 1]);
    now += 3_600_000;
    await hitTimes(1);
    most = 5;
    await hitTimes(10);
    await hits.stop();
    assert.equal(recorder.hits().length, 100 + 1 + 5);
    assert.equal(await count('clicked', 'recorded'), 106);
  });

  it('in great number are written in full batches, without waiting', async t => {
    const { hits, recorder } = start(t, { interval: 600_000 });
    for (let index = 0; index < BATCH * 2 + 1; index += 1) hits.add(click({ url: `https://a.example/${index}` }));
    await eventually(() => recorder.hits().length === BATCH * 2);
    await hits.stop();
    assert.deepEqual(
      recorder.batches.map(batch => batch.length),
      [BATCH, BATCH, 1],
    );
  });

  it('wait for a database that is away, and are the same then', async t => {
    const { hits, recorder } = start(t);
    recorder.fail = rejecting({ code: 'ECONNREFUSED' });
    hits.add(click());
    await eventually(() => recorder.calls > 0);
    hits.add(click({ url: 'https://b.example/' }));
    recorder.fail = null;
    await eventually(() => recorder.hits().length === 2);
    assert.deepEqual(
      recorder.hits().map(({ url }) => url),
      ['https://a.example/', 'https://b.example/'],
    );
  });

  it('are dropped and counted beyond what memory shall hold', async t => {
    const { hits, recorder, count, logs } = start(t, { capacity: 2 });
    recorder.fail = rejecting({ code: 'ECONNREFUSED' });
    for (const path of ['1', '2', '3']) hits.add(click({ url: `https://a.example/${path}` }));
    assert.equal(await count('clicked', 'dropped'), 1);
    await hits.stop(20);
    assert.equal(await count('clicked', 'dropped'), 3);
    assert.match(logs.join(''), /"hits":2,"msg":"opens and clicks not recorded"/);
  });

  it('that Postgres cannot store do not keep the others out', async t => {
    const { hits, recorder, count } = start(t);
    recorder.fail = given =>
      given.some(({ userAgent }) => userAgent === 'bad') ? rejecting({ code: '22P05' })() : undefined;
    for (const userAgent of ['good', 'bad', 'better']) hits.add(click({ userAgent }));
    await eventually(() => recorder.hits().length === 2);
    assert.equal(await count('clicked', 'dropped'), 1);
    assert.equal(await count('clicked', 'recorded'), 2);
  });

  it('do not keep a stop from ending while a write hangs', async t => {
    const { hits, recorder } = start(t);
    recorder.fail = () => new Promise(() => {});
    hits.add(click());
    await eventually(() => recorder.calls === 1);
    await hits.stop(50);
    assert.deepEqual(recorder.hits(), []);
  });

  it('never hold up an answer, though the database hangs', async t => {
    const { hits, recorder } = start(t, { interval: 0 });
    recorder.fail = () => new Promise(() => {});
    const { url, tokens } = await openPublic(t, { hits });
    const requests = Array.from({ length: 200 }, (_, index) => {
      const token = tokens.sign({ kind: 'click', emailId, url: `https://a.example/${index}` });
      return fetch(`${url}${CLICK_PATH}${token}`, { redirect: 'manual' });
    });
    const statuses = new Set((await Promise.all(requests)).map(({ status }) => status));
    assert.deepEqual([...statuses], [302]);
    assert.ok(recorder.calls > 0);
  });
});

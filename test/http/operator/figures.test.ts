import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Counter, Gauge, Histogram } from 'prom-client';
import { increase, quantile, readFigures, sum, total } from '../../../src/http/operator/figures.ts';
import { Recorder } from '../../../src/http/operator/recorder.ts';
import { createRegistry } from '../../../src/observability/metrics.ts';

describe('figures of the metrics', () => {
  it('tell by how much counters and buckets have grown, by label', async () => {
    const registry = createRegistry();
    const registers = [registry];
    const messages = new Counter({ name: 'smtp_relay_messages_total', help: '-', labelNames: ['result'], registers });
    const sends = new Counter({
      ...{ name: 'smtp_relay_sends_total', help: '-', labelNames: ['transport', 'outcome'], registers },
    });
    const times = new Histogram({
      ...{ name: 'smtp_relay_acceptance_duration_seconds', help: '-', buckets: [0.1, 1, 10], registers },
    });
    messages.inc({ result: 'queued' }, 5);
    const before = await readFigures(registry);
    messages.inc({ result: 'queued' }, 2);
    messages.inc({ result: 'fault' });
    sends.inc({ transport: 'ses', outcome: 'sent' }, 3);
    sends.inc({ transport: 'smtp', outcome: 'sent' });
    for (const seconds of [0.05, 0.5, 0.5, 99]) times.observe(seconds);
    const by = increase(await readFigures(registry), before);
    assert.deepEqual(
      [...by.counts.messages],
      [
        ['queued', 2],
        ['fault', 1],
      ],
    );
    assert.equal(sum(by.counts.sends, 'sent'), 4);
    assert.equal(sum(by.counts.sends, 'ses'), 3);
    assert.deepEqual(
      [...by.buckets.acceptance],
      [
        [0.1, 1],
        [1, 2],
        [Number.POSITIVE_INFINITY, 1],
      ],
    );
    assert.deepEqual(
      [...total([by, by]).counts.messages],
      [
        ['queued', 4],
        ['fault', 2],
      ],
    );
    assert.deepEqual([...total([]).counts.messages], []);
  });

  it('have quantiles as Prometheus has them', () => {
    const bounds = [1, 2, 4, Number.POSITIVE_INFINITY];
    const buckets = new Map([
      [1, 10],
      [2, 10],
      [Number.POSITIVE_INFINITY, 1],
    ]);
    assert.equal(quantile(new Map(), 0.5, bounds), null);
    assert.equal(quantile(buckets, 0.5, bounds)?.toFixed(3), '1.050');
    // Even within the first bucket, and the last bound for what is above all.
    assert.equal(quantile(new Map([[1, 4]]), 0.5, bounds), 0.5);
    assert.equal(quantile(buckets, 1, bounds), 4);
  });
});

describe('the recorder', () => {
  it('keeps the last samples, and reads what takes a query only while somebody looks', async () => {
    const registry = createRegistry();
    const registers = [registry];
    const messages = new Counter({ name: 'smtp_relay_messages_total', help: '-', labelNames: ['result'], registers });
    let queries = 0;
    new Gauge({
      name: 'smtp_relay_outbox_jobs',
      ...{ help: '-', labelNames: ['state'], registers },
      collect() {
        queries += 1;
        this.set({ state: 'due' }, 7);
      },
    });
    let isWatched = false;
    const recorder = new Recorder({ registry, role: 'relay', isWatched: () => isWatched, most: 3 });
    assert.deepEqual(recorder.history.at, []);
    await recorder.take();
    for (let sample = 1; sample <= 5; sample++) {
      messages.inc({ result: 'queued' }, sample);
      isWatched = sample === 5;
      await recorder.take();
    }
    const { at, series, interval } = recorder.history;
    assert.deepEqual([at.length, interval], [3, 5_000]);
    assert.deepEqual(series.outboxDue, [null, null, 7]);
    assert.equal(queries, 1);
    assert.deepEqual(recorder.counted().counts.messages, new Map([['queued', 3 + 4 + 5]]));
    assert.deepEqual(recorder.counted(10_000).counts.messages, new Map([['queued', 4 + 5]]));
    assert.ok((series.accepted?.[2] ?? 0) > 0);
    // Nobody measured any, which is not the same as none.
    assert.deepEqual(series.acceptance99, [null, null, null]);
    assert.ok(recorder.recent('busy', 60_000).every(busy => busy >= 0 && busy <= 1));
    assert.equal(series.sent, undefined);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GatheredWrites } from '../../src/flow/gathered-writes.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { Onlookers } from '../../src/store/sessions/onlookers.ts';
import { createSessionLogMetrics, SessionLog } from '../../src/store/sessions/session-log.ts';
import { eventually } from '../support/eventually.ts';

describe('GatheredWrites', () => {
  it('writes what comes together at once, and one write after the other', async () => {
    let gathered: number[] = [];
    const written: number[][] = [];
    const open: (() => void)[] = [];
    const writes = new GatheredWrites({
      interval: 1,
      write: async () => {
        written.push(gathered);
        gathered = [];
        await new Promise<void>(resolve => open.push(resolve));
      },
    });
    const bring = (value: number): void => {
      gathered.push(value);
      writes.soon();
    };
    bring(1);
    bring(2);
    await eventually(() => written.length === 1);
    bring(3);
    await sleep(20);
    bring(4);
    await sleep(20);
    assert.deepEqual(written, [[1, 2]]);
    open.shift()?.();
    await eventually(() => written.length === 2);
    assert.deepEqual(written[1], [3, 4]);
    open.shift()?.();
    bring(5);
    const flushed = writes.flush();
    await eventually(() => written.length === 3);
    assert.deepEqual(written[2], [5]);
    open.shift()?.();
    await flushed;
  });

  it('leaves what is gathered with its owner, who bounds it, while a database says nothing', async () => {
    const logger = createLogger({ level: 'silent', format: 'json' });
    const registry = createRegistry();
    const onlookers = new Onlookers({ find: async () => [], write: async () => {}, pod: 'pod', logger });
    const metrics = createSessionLogMetrics(registry);
    let snapshots = 0;
    const log = new SessionLog({
      ...{ onlookers, metrics, logger, pod: 'pod', period: () => 60_000 },
      write: () => new Promise<void>(() => {}),
    });
    const offer = (from: number, count: number): void => {
      for (let i = from; i < from + count; i += 1) {
        log.offer({
          id: String(i),
          subject: String(i),
          snapshot: () => {
            snapshots += 1;
            return {} as never;
          },
        });
      }
    };
    for (let round = 0; round < 10; round += 1) {
      offer(round * 100, 100);
      void log.flush();
      await sleep(1);
    }
    assert.equal(snapshots, 50);
    const { values } = await metrics.sessions.get();
    // Those under way, as many that wait, and no more.
    assert.equal(values.find(({ labels }) => labels.result === 'dropped')?.value, 1000 - 2 * 50);
  });
});

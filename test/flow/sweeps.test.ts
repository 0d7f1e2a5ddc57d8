import assert from 'node:assert/strict';
import { it } from 'node:test';
import { startSweeps } from '../../src/flow/loop.ts';
import { createLogger } from '../../src/observability/log.ts';
import { eventually } from '../support/eventually.ts';

const logs: string[] = [];
const logger = createLogger({ level: 'warn', format: 'json', destination: { write: line => void logs.push(line) } });

it('the first sweep comes soon after the start, not after the interval', async () => {
  let sweeps = 0;
  using _running = startSweeps({ sweep: async () => (sweeps += 1), logger, first: 50, interval: 3_600_000 });
  await eventually(() => sweeps === 1);
});

it('processes that were started together come one after the other', async () => {
  const moments: number[] = [];
  const sweep = async () => moments.push(performance.now());
  const running = Array.from({ length: 20 }, () => startSweeps({ sweep, logger, first: 500 }));
  await eventually(() => moments.length === 20);
  for (const one of running) one[Symbol.dispose]();
  assert.ok((moments.at(-1) ?? 0) - (moments[0] ?? 0) > 100, 'all at once');
});

it('one that fails is told of, and tried again soon; none comes behind the end', async () => {
  let sweeps = 0;
  const sweep = async () => {
    sweeps += 1;
    if (sweeps === 1) throw new Error('no database');
  };
  const running = startSweeps({ sweep, logger, first: 20, interval: 40 });
  await eventually(() => sweeps >= 3);
  assert.equal(logs.filter(line => line.includes('no database')).length, 1);
  running[Symbol.dispose]();
  const before = sweeps;
  await new Promise(resolve => setTimeout(resolve, 100));
  assert.equal(sweeps, before);
});

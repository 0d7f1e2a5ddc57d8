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

it('processes that were started together come one after the other', async t => {
  const swept: number[] = [];
  const start = (chance: number) => {
    t.mock.method(Math, 'random', () => chance, { times: 1 });
    return startSweeps({ sweep: async () => swept.push(chance), logger, first: 3_600_000 });
  };
  using _late = start(0.9);
  using _soon = start(0);
  await eventually(() => swept.length > 0);
  assert.deepEqual(swept, [0]);
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

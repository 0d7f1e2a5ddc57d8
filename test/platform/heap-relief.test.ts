import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { relieveHeap } from '../../src/platform/process-memory.ts';
import { eventually } from '../support/eventually.ts';

const MB = 1_000_000;

it('collects behind the start, and where connections have gone by the thousand; not for fewer; where they come it only trims', async t => {
  let connections = 0;
  let collections = 0;
  let trims = 0;
  const relief = {
    collect: async () => {
      collections += 1;
    },
    trim: async () => {
      trims += 1;
    },
  };
  t.after(relieveHeap({ connections: () => connections, interval: 40, relief }));
  await eventually(() => collections === 1);
  connections = 5_000;
  await eventually(() => trims === 2);
  await sleep(100);
  assert.equal(collections, 1);
  connections = 100;
  await eventually(() => collections === 2);
  connections = 1_000;
  await sleep(100);
  connections = 1;
  await sleep(300);
  assert.equal(collections, 2);
});

it('waits until there is nothing else to do', async t => {
  let collections = 0;
  const collect = async () => {
    collections += 1;
  };
  const relief = { collect, trim: async () => {} };
  t.after(relieveHeap({ connections: () => 0, interval: 40, relief }));
  const until = performance.now() + 400;
  while (performance.now() < until) {
    const turn = performance.now() + 10;
    while (performance.now() < turn);
    await new Promise(setImmediate);
  }
  assert.equal(collections, 0);
  await eventually(() => collections >= 1);
});

it("V8's collector gives back what nobody uses, to the operating system too", async t => {
  const held: { objects: object[] } = { objects: Array.from({ length: 600_000 }, (_, index) => ({ index: [index] })) };
  const before = process.memoryUsage();
  held.objects = [];
  t.after(relieveHeap({ connections: () => 0, interval: 40 }));
  await eventually(() => process.memoryUsage().heapUsed < before.heapUsed - 30 * MB);
  await eventually(() => process.memoryUsage.rss() < before.rss - 30 * MB);
});

it('collects where connections have come and gone by the thousand while there was no quiet', async t => {
  let connections = 0;
  let collections = 0;
  let isBusy = false;
  const collect = async () => {
    collections += 1;
  };
  const relief = { collect, trim: async () => {} };
  const count = () => {
    // What is looked at is the time since the look before: this one is at the end of a busy one.
    const until = performance.now() + (isBusy ? 60 : 0);
    while (performance.now() < until);
    return connections;
  };
  t.after(relieveHeap({ connections: count, interval: 40, relief }));
  await eventually(() => collections === 1);
  isBusy = true;
  connections = 5_000;
  await sleep(400);
  connections = 0;
  isBusy = false;
  await eventually(() => collections === 2);
});

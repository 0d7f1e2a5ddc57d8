import assert from 'node:assert/strict';
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { freeMemory } from '../../src/message/bytes.ts';
import { collectWhenDoubled } from '../../src/platform/process-memory.ts';

const MIB = 1024 * 1024;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** An entry of kind `gc`. */
interface Collection {
  readonly detail: { readonly kind: number };
}

/** Messages of 7 MB that come and go, three at a time. @returns how often all of the heap was collected meanwhile */
async function countCollections(): Promise<number> {
  // From here on V8 knows how large the heap may grow.
  collect();
  await sleep(50);
  let count = 0;
  const observer = new PerformanceObserver(list => {
    const collections = list.getEntries() as unknown as Collection[];
    count += collections.filter(({ detail }) => detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR).length;
  });
  observer.observe({ entryTypes: ['gc'] });
  const objects: object[] = [];
  for (let round = 0; round < 100; round += 1) {
    objects[round % 10] = Array.from({ length: 2_000 }, (_, index) => ({ index }));
    const messages = Array.from({ length: 3 }, () => Buffer.allocUnsafeSlow(7 * MIB));
    await sleep(5);
    for (const bytes of messages) freeMemory(bytes);
    await sleep(5);
  }
  observer.disconnect();
  return count;
}

it('memory of large messages does not have the whole heap collected for each of them', async t => {
  // As much as a relay holds.
  const live = Array.from({ length: 500_000 }, (_, index) => ({ index: [index] }));
  t.after(collectWhenDoubled());
  // V8 goes by what it has seen of late, which at first is how those objects were made.
  await countCollections();
  const count = await countCollections();
  assert.equal(live.length, 500_000);
  // At V8's own pace ten.
  assert.ok(count <= 1, `${count} collections`);
});

import assert from 'node:assert/strict';
import { it } from 'node:test';
import { getHeapSpaceStatistics } from 'node:v8';
import { limitYoungGeneration } from '../../src/platform/process-memory.ts';

const MIB = 1024 * 1024;

/** Objects of which many survive the collections that they cause: V8 would make more room for such. */
async function allocate(): Promise<void> {
  for (let round = 0; round < 400; round += 1) {
    const objects = Array.from({ length: 6_000 }, (_, index) => ({ index: [index] }));
    await new Promise(setImmediate);
    assert.equal(objects.length, 6_000);
  }
}

function youngMegabytes(): number {
  return (getHeapSpaceStatistics().find(space => space.space_name === 'new_space')?.space_size ?? 0) / MIB;
}

it('the space for new objects stays within its limit, and may grow again afterwards', async () => {
  const end = limitYoungGeneration(youngMegabytes() * MIB + 1);
  const before = youngMegabytes();
  await allocate();
  const limited = youngMegabytes();
  end();
  await allocate();
  // Some collections may come before the look behind the one before.
  assert.ok(limited <= before * 8, `${before} MiB, then ${limited}`);
  assert.ok(youngMegabytes() > limited, `${youngMegabytes()} MiB without a limit`);
});

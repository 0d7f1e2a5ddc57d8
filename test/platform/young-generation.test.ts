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

it('the space for new objects stays small among many connections, grows among few, and as V8 likes afterwards', async () => {
  const before = youngMegabytes();
  const least = before * MIB + 1;
  let connections = 1_000;
  const end = limitYoungGeneration({ connections: () => connections, limit: least * 2, crowdedLimit: least });
  await allocate();
  const crowded = youngMegabytes();
  connections = 10;
  await allocate();
  const limited = youngMegabytes();
  end();
  await allocate();
  // Some collections may come before the look behind the one before.
  assert.ok(crowded <= before * 8, `${before} MiB, then ${crowded} among many connections`);
  assert.ok(limited > crowded, `${crowded} MiB among many connections, then ${limited} among few`);
  assert.ok(youngMegabytes() > limited, `${youngMegabytes()} MiB without a limit`);
});

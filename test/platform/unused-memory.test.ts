import assert from 'node:assert/strict';
import { createHash, type Hash } from 'node:crypto';
import { it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { findTrim, mapTlsBuffers } from '../../src/platform/process-memory.ts';

const MB = 1_000_000;
const isGlibc = 'glibcVersionRuntime' in (process.report.getReport() as { header: object }).header;

it('what OpenSSL has freed between pieces that stay goes back to the operating system', async () => {
  const trim = await findTrim();
  if (!isGlibc) {
    assert.equal(trim, null);
    return;
  }
  assert.ok(trim, 'koffi is installed by npm ci');
  let pieces: Hash[] = Array.from({ length: 100_000 }, () => createHash('sha256'));
  const taken = process.memoryUsage.rss();
  pieces = pieces.filter((_, index) => index % 1_000 === 0);
  await collect();
  const kept = process.memoryUsage.rss();
  assert.equal(await trim(), true);
  const left = process.memoryUsage.rss();
  assert.ok(left < kept - 15 * MB, `${taken} bytes, ${kept} after they are freed, ${left} after they are given back`);
  assert.equal(pieces.length, 100);
});

it('the C library maps the buffers of TLS connections by themselves', async () => {
  assert.equal(await mapTlsBuffers(), isGlibc);
});

async function collect(): Promise<void> {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  // Handles of Node's are let go in a turn after the collection.
  for (let round = 0; round < 3; round += 1) {
    gc();
    await new Promise(setImmediate);
  }
}

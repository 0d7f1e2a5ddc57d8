import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { getPriority } from 'node:os';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { NICENESS } from '../../src/platform/helper-threads.ts';
import { spawnRelay } from '../faults/support/relay-process.ts';
import { createDatabase } from '../support/database.ts';

const run = promisify(execFile);
const MODULE = new URL('../../src/platform/helper-threads.ts', import.meta.url).href;
const SCRIPT = `import { yieldToMainThread } from '${MODULE}'; console.log(await yieldToMainThread())`;

/** How nice a process's threads are, by their names. */
async function nicenessOf(pid: number): Promise<Map<string, number[]>> {
  const threads = new Map<string, number[]>();
  for (const id of await readdir(`/proc/${pid}/task`)) {
    const name = (await readFile(`/proc/${pid}/task/${id}/comm`, 'utf8')).trim();
    threads.set(name, [...(threads.get(name) ?? []), getPriority(Number(id))]);
  }
  return threads;
}

describe("V8's helpers", {
  skip: process.platform === 'linux' ? false : 'threads have priorities on Linux only',
}, () => {
  it('are four, and all give way', async () => {
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', SCRIPT]);
    assert.equal(Number(stdout), 4);
  });

  it('are as nice as can be where the process is nicer already', async () => {
    const { stdout } = await run('nice', ['-n', '15', process.execPath, '--input-type=module', '-e', SCRIPT]);
    assert.equal(Number(stdout), 4);
  });

  it('of a relay are nicer than its main thread', async t => {
    const DATABASE_URL = await createDatabase(t, { pipeline: 'opensend' });
    const relay = spawnRelay(t, { DATABASE_URL, SMTP_RELAY_PORT: '0', SMTP_RELAY_HOST: '127.0.0.1' });
    await relay.listening();
    const pid = relay.child.pid as number;
    const own = getPriority(pid);
    assert.deepEqual(
      (await nicenessOf(pid)).get('V8Worker'),
      Array.from({ length: 4 }, () => own + NICENESS),
    );
  });
});

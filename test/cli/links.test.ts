import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { it } from 'node:test';
import { run as runProgram } from '../../src/cli/program.ts';
import { createDatabase } from '../support/database.ts';

it('smtp-relay links ends links of an owner or a message, lists and restores them', async t => {
  const env = { DATABASE_URL: await createDatabase(t) };
  const run = async (...args: string[]) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const takeSignals = () => new AbortController().signal;
    const context = { env, stdout, stderr, takeSignals, onHangUp: () => {}, surviveFaults: () => {} };
    const code = await runProgram(['links', ...args], context);
    for (const stream of [stdout, stderr]) stream.end();
    return { code, stdout: await text(stdout), stderr: await text(stderr) };
  };
  const id = randomUUID();
  assert.match((await run('end', '--owner', 'acme mail')).stdout, /lead nowhere any more/);
  assert.match((await run('end', '--owner', 'acme mail')).stdout, /had ended before/);
  const ended = JSON.parse((await run('end', '--message', id.toUpperCase(), '--json')).stdout);
  assert.deepEqual([ended.kind, ended.changed], ['message', true]);
  const list = async () =>
    JSON.parse((await run('list', '--json')).stdout).map((row: { kind: string; id: string }) => [row.kind, row.id]);
  assert.deepEqual(await list(), [
    ['owner', 'acme mail'],
    ['message', id],
  ]);
  assert.match((await run('restore', '--message', id)).stdout, /lead on again/);
  assert.match((await run('restore', '--message', id)).stdout, /had not ended/);
  assert.deepEqual(await list(), [['owner', 'acme mail']]);
  for (const args of [[], ['--message', 'x'], ['--owner', 'a', '--message', id]]) {
    const refused = await run('end', ...args);
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /--owner <id>, or --message <id>/);
  }
});

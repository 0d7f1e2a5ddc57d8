import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { it } from 'node:test';
import { createDatabase } from '../support/database.ts';
import { runInProcess } from './run-cli.ts';

it('smtp-relay links ends links of an owner or a message, lists and restores them', async t => {
  const env = { DATABASE_URL: await createDatabase(t) };
  const run = (...args: string[]) => runInProcess(['links', ...args], env);
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

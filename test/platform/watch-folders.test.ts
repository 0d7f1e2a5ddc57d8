import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { it } from 'node:test';
import { watchFolders } from '../../src/platform/watch-folders.ts';
import { eventually } from '../support/eventually.ts';
import { MountedFolder } from '../support/mounted.ts';

it('a folder that cannot be watched is told of, and polled', async t => {
  const folder = await MountedFolder.create(t, {});
  const missing = join(folder.path, 'missing');
  const faults: string[] = [];
  let looks = 0;
  const look = async () => {
    looks += 1;
  };
  t.after(watchFolders({ folders: [missing], look, onFault: (_, path) => faults.push(path), poll: 20 }));
  await eventually(() => looks >= 2);
  assert.deepEqual(faults, [missing]);
});

it('what happens in a folder is looked at long before the next look, again and again', async t => {
  const folder = await MountedFolder.create(t, { a: '1' });
  let seen = '';
  const look = async () => {
    seen = await readFile(folder.file('a'), 'utf8');
  };
  t.after(watchFolders({ folders: [folder.path], look, onFault: error => assert.fail(String(error)), poll: 600_000 }));
  for (const a of ['2', '3', '4']) {
    await folder.replace({ a });
    await eventually(() => seen === a);
  }
});

it('there is one look at a time, and one more after what happened during it', async t => {
  const folder = await MountedFolder.create(t, { a: '1' });
  let atWork = 0;
  let most = 0;
  let looks = 0;
  const first = Promise.withResolvers<void>();
  const look = async () => {
    looks += 1;
    atWork += 1;
    most = Math.max(most, atWork);
    if (looks === 1) await first.promise;
    atWork -= 1;
  };
  t.after(watchFolders({ folders: [folder.path], look, onFault: error => assert.fail(String(error)), poll: 20 }));
  await eventually(() => looks === 1);
  await folder.replace({ a: '2' });
  first.resolve();
  await eventually(() => looks >= 2);
  assert.equal(most, 1);
});

import assert from 'node:assert/strict';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createDeclarationMetrics } from '../../src/declared/metrics.ts';
import { Reconciler } from '../../src/declared/reconciler.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { giveLeaseBack } from '../../src/postgres/lease.ts';
import { eventually } from '../support/eventually.ts';
import { MountedFolder } from '../support/mounted.ts';
import { createSystem, document } from './support.ts';

const domain = (name: string) => document('SendingDomain', name, { owner: 'acme', name: `${name}.test` });
const part = (set: string, number: number, of: number) => JSON.stringify({ set, part: number, of });

describe('documents that are split over several ConfigMaps of one folder', () => {
  it('lose none that moves from one to another, whichever is brought first', async t => {
    const system = await createSystem(t);
    const write = (files: Readonly<Record<string, string>>) =>
      Promise.all(Object.entries(files).map(([name, text]) => system.documents.write(name, text)));
    await write({ '0.yaml': domain('one') + domain('moves'), '.part-0.json': part('a', 0, 2) });
    await write({ '1.yaml': domain('two') + domain('goes'), '.part-1.json': part('a', 1, 2) });
    await system.reconcile();
    const ids = () => system.rows("select name, id from domains where name <> 'goes.test' order by name");
    const before = await ids();
    assert.equal(before.length, 3);

    await write({ '0.yaml': domain('one'), '.part-0.json': part('b', 0, 2) });
    const torn = await system.reconcile();
    assert.deepEqual(await ids(), before, 'it is in neither, and stays');
    assert.match(torn.declarations.problems[0]?.why ?? '', /parts of two releases/);
    await write({ '1.yaml': domain('two') + domain('moves'), '.part-1.json': part('b', 1, 2) });
    const whole = await system.reconcile();
    assert.deepEqual(whole.declarations.problems, []);
    assert.deepEqual(await system.rows("select name from domains where name = 'goes.test'"), [], 'what has gone goes');
    assert.deepEqual(await ids(), before);

    await write({ '0.yaml': domain('one') + domain('moves'), '.part-0.json': part('c', 0, 2) });
    await system.reconcile();
    assert.equal((await system.status('SendingDomain', 'moves'))?.ready, true, 'it is in both, and that is well');
  });

  it('are not whole while a part is not mounted', async t => {
    const system = await createSystem(t, { '0.yaml': domain('one') + domain('two'), '.part-0.json': part('a', 0, 1) });
    await system.reconcile();
    await system.documents.write('0.yaml', domain('one'));
    for (const wrong of [part('b', 0, 2), 'nonsense']) {
      await system.documents.write('.part-0.json', wrong);
      await system.reconcile();
      assert.equal((await system.rows('select name from domains')).length, 2, wrong);
    }
  });
});

describe('ConfigMaps that are mounted side by side, below the folder of documents', () => {
  it('are taken up at once when one of them changes, each with the files that its documents name', async t => {
    const system = await createSystem(t);
    await giveLeaseBack(system.pool, 'test');
    const [ours, theirs] = [
      await MountedFolder.create(t, { 'a.yaml': domain('one') }),
      await MountedFolder.create(t, {
        'b.yaml': document('SuppressionList', 'gone', { owner: 'acme', addressesFile: 'team-b/gone.txt' }),
        'gone.txt': 'first@example.com\n',
      }),
    ];
    const reconciler = new Reconciler({
      pool: system.pool,
      tables: system.tables,
      folders: { documents: await mountAll(system.documents.path, { ours, 'team-b': theirs }), secrets: '/none' },
      interval: 600_000,
      allowEmpty: () => false,
      id: 'pod',
      metrics: createDeclarationMetrics(createRegistry()),
      logger: createLogger({ level: 'silent', format: 'json' }),
    });
    reconciler.start();
    system.defer(() => reconciler.stop());
    const addresses = async () => (await system.rows('select email from email_suppressions')).map(({ email }) => email);
    await eventually(async () => (await addresses()).length === 1);
    assert.deepEqual(await system.rows('select name from domains'), [{ name: 'one.test' }]);

    await theirs.replace({
      'b.yaml': document('SuppressionList', 'gone', { owner: 'acme', addressesFile: 'team-b/gone.txt' }),
      'gone.txt': 'second@example.com\n',
    });
    await eventually(async () => (await addresses()).join() === 'second@example.com');
    assert.deepEqual(await system.rows('select name from domains'), [{ name: 'one.test' }]);

    // As where a team's ConfigMap is emptied.
    await theirs.replace({});
    await eventually(async () => (await reconciler.report()).lastPass?.kept === 1);
    assert.deepEqual(await addresses(), ['second@example.com']);
  });
});

/** A link stands for a mount: what is below it is another folder of the file system. */
async function mountAll(folder: string, mounts: Readonly<Record<string, MountedFolder>>): Promise<string> {
  for (const [name, { path }] of Object.entries(mounts)) await symlink(path, join(folder, name));
  return folder;
}

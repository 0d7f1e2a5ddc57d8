import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runInProcess } from '../cli/run-cli.ts';
import { createSystem, document, SECRET_KEY } from './support.ts';

const NOTHING = { created: 0, updated: 0, removed: 0 };
const domain = (name: string) => document('SendingDomain', name, { owner: 'acme', name: `${name}.test` });
const key = (name: string) =>
  document('SmtpCredential', name, { owner: 'acme', keyHash: Buffer.from(name.padEnd(32)).toString('hex') });

describe('documents that are all gone', () => {
  for (const [what, empty] of [
    ['an empty folder', null],
    ['an empty file', ''],
    ['a file with nothing but a comment', '# nothing\n'],
  ] as const) {
    it(`remove nothing, and are told of: ${what}`, async t => {
      const system = await createSystem(t, { 'a.yaml': domain('one') + domain('two'), 'b.yaml': key('billing') });
      await system.reconcile();
      await system.documents.remove('b.yaml');
      if (empty === null) await system.documents.remove('a.yaml');
      else await system.documents.write('a.yaml', empty);
      const pass = await system.reconcile();
      assert.deepEqual([pass.changes, pass.kept], [NOTHING, 3]);
      assert.equal((await system.rows('select id from domains union all select id from api_keys')).length, 3);
      const status = await system.status('SmtpCredential', 'billing');
      assert.deepEqual([status?.ready, status?.reason], [false, 'Kept']);
      assert.ok(status?.message.includes(system.documents.path) && status.message.includes('resources.allowEmpty'));
      const again = await system.reconcile();
      assert.deepEqual([again.written, again.kept], [[], 3], 'told once');

      await system.documents.write('a.yaml', domain('one') + key('billing'));
      const back = await system.reconcile();
      assert.deepEqual([back.changes, back.kept], [{ ...NOTHING, removed: 1 }, 0]);
      assert.equal((await system.status('SmtpCredential', 'billing'))?.reason, 'Applied');
    });
  }

  it('are meant so where an operator says it', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') + key('billing') });
    await system.reconcile();
    await system.documents.remove('a.yaml');
    await system.reconcile();
    const pass = await system.reconcile({ allowEmpty: true });
    assert.deepEqual([pass.changes.removed, pass.kept], [2, 0]);
    assert.deepEqual(await system.rows('select id from smtp_relay_declared'.replace('id', 'name')), []);
  });

  it('of one folder, as of a second volume, are kept as well; those of the others go', async t => {
    const system = await createSystem(t, {
      'domains/a.yaml': domain('one'),
      'domains/b.yaml': domain('two'),
      'keys/a.yaml': key('billing') + key('shop'),
    });
    await system.reconcile();
    await rm(join(system.documents.path, 'keys'), { recursive: true });
    await system.documents.remove('domains/b.yaml');
    const pass = await system.reconcile();
    assert.deepEqual([pass.changes, pass.kept], [{ ...NOTHING, removed: 1 }, 2]);
    assert.match((await system.status('SmtpCredential', 'shop'))?.message ?? '', /No document is left in .*keys, /);
    await system.documents.write('keys/a.yaml', key('shop'));
    assert.deepEqual((await system.reconcile()).changes, { ...NOTHING, removed: 1 });
  });

  it('that nothing was made of are forgotten', async t => {
    const system = await createSystem(t, { 'a.yaml': document('SendingDomain', 'a', { owner: 'a', name: 'a..b' }) });
    await system.reconcile();
    await system.documents.remove('a.yaml');
    assert.deepEqual([(await system.reconcile()).kept, await system.status('SendingDomain', 'a')], [0, undefined]);
  });

  it('an addresses file without any keeps the list', async t => {
    const list = document('SuppressionList', 'never', { owner: 'acme', addressesFile: 'never.txt' });
    const system = await createSystem(t, { 'a.yaml': list, 'never.txt': 'gone@example.com\n' });
    await system.reconcile();
    await system.documents.write('never.txt', '');
    await system.reconcile();
    assert.equal((await system.rows('select id from email_suppressions')).length, 1);
    assert.equal((await system.status('SuppressionList', 'never'))?.reason, 'FileUnreadable');
  });

  it('by the command line: kept, and removed with --allow-empty', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') });
    await system.reconcile();
    await system.rows('update smtp_relay_leases set until = now()');
    await system.documents.remove('a.yaml');
    const env = { DATABASE_URL: system.databaseUrl, SMTP_RELAY_WEBHOOKS_SECRET_KEYS: SECRET_KEY };
    const cli = (...args: string[]) => runInProcess(['resources', ...args, system.documents.path], env);
    const kept = await cli('apply');
    assert.equal(kept.code, 1);
    assert.match(kept.stdout, /^none +SendingDomain +one +- +False \(Kept\)/m);
    assert.equal((await system.rows('select id from domains')).length, 1);
    const removed = await cli('apply', '--allow-empty');
    assert.deepEqual([removed.code, await system.rows('select id from domains')], [0, []]);
  });
});

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createTables } from '../../src/declared/kinds/kinds.ts';
import { reconcile } from '../../src/declared/reconcile.ts';
import { runInProcess } from '../cli/run-cli.ts';
import { box, createFolder, createSystem, document } from './support.ts';

const of = (name: string, owner: string, domain = 'acme.test') =>
  document('SendingDomain', name, { owner, name: domain });

type System = Awaited<ReturnType<typeof createSystem>>;

const reconcileShared = async (system: System) =>
  reconcile(await system.read(), {
    pool: system.pool,
    tables: createTables({ box, sharedDomains: true }),
    holder: 'test',
    allowEmpty: false,
  });

const owners = (system: System) => system.rows('select user_id as owner from domains order by user_id');

describe('a domain that two owners declare', () => {
  it('is that of the first; the second is not ready, and says whose it is and what to do', async t => {
    const system = await createSystem(t, { 'a.yaml': of('first', 'acme') });
    await system.reconcile();
    await system.documents.write('b.yaml', of('second', 'umbrella', 'ACME.test'));
    await system.reconcile();
    assert.deepEqual(await owners(system), [{ owner: 'acme' }]);
    assert.equal((await system.status('SendingDomain', 'first'))?.ready, true);
    const { ready, reason, message = '' } = (await system.status('SendingDomain', 'second')) ?? {};
    assert.deepEqual([ready, reason], [false, 'Conflict']);
    assert.match(message, /^"first" declares the same\..*domains\.shared/);
    assert.ok(!message.includes('acme'));

    await system.documents.remove('a.yaml');
    await system.reconcile();
    assert.deepEqual(await owners(system), [{ owner: 'umbrella' }], 'the one that is left has it');
  });

  it('is one owner only where both are new at once, in Unicode too', async t => {
    const files = { 'a.yaml': of('first', 'acme', 'bücher.test') + of('second', 'umbrella', 'xn--bcher-kva.test') };
    const system = await createSystem(t, files);
    await system.reconcile();
    assert.deepEqual(await owners(system), [{ owner: 'acme' }]);
    assert.equal((await system.status('SendingDomain', 'second'))?.reason, 'Conflict');
  });

  it('is refused where somebody made it by hand for another owner', async t => {
    const system = await createSystem(t, { 'a.yaml': of('first', 'acme') });
    await system.rows("insert into domains (name, user_id, region) values ('Acme.test', 'umbrella', 'us-east-1')");
    await system.reconcile();
    assert.deepEqual(await owners(system), [{ owner: 'umbrella' }]);
    assert.match(
      (await system.status('SendingDomain', 'first'))?.message ?? '',
      /no document has made it.*domains\.shared/,
    );
  });

  it('goes to another owner where its document says so', async t => {
    const system = await createSystem(t, { 'a.yaml': of('first', 'acme') });
    await system.reconcile();
    const [before] = await system.rows('select id from domains');
    await system.documents.write('a.yaml', of('first', 'umbrella'));
    await system.reconcile();
    assert.deepEqual(await system.rows('select id, user_id as owner from domains'), [{ ...before, owner: 'umbrella' }]);
  });

  it('is both of theirs where domains.shared says so', async t => {
    const system = await createSystem(t, { 'a.yaml': of('first', 'acme') + of('second', 'umbrella') });
    await reconcileShared(system);
    assert.deepEqual(await owners(system), [{ owner: 'acme' }, { owner: 'umbrella' }]);
    assert.equal((await system.status('SendingDomain', 'second'))?.ready, true);
    await system.reconcile();
    assert.equal((await owners(system)).length, 2, 'none is taken from whoever has it');
  });

  it('is found by validate, unless it is meant', async t => {
    const folder = await createFolder(t, { 'a.yaml': of('first', 'acme') + of('second', 'umbrella') });
    const refused = await runInProcess(['resources', 'validate', folder.path], {});
    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /declares the same as SendingDomain\/first.*domains\.shared/);
    assert.equal((await runInProcess(['resources', 'validate', '--shared-domains', folder.path], {})).code, 0);
  });
});

it('domains add refuses what another owner has, unless domains.shared says so', async t => {
  const system = await createSystem(t);
  const add = (owner: string, name: string, shared: string) =>
    runInProcess(['domains', 'add', name, '--owner', owner], {
      DATABASE_URL: system.databaseUrl,
      SMTP_RELAY_DOMAINS_SHARED: shared,
    });
  assert.equal((await add('acme', 'bücher.test', 'false')).code, 0);
  assert.match((await add('acme', 'bücher.test', 'false')).stdout, /already a domain of acme/);
  const refused = await add('umbrella', 'XN--bcher-kva.test', 'false');
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /belongs to another owner already.*domains\.shared/);
  assert.equal((await add('umbrella', 'bücher.test', 'true')).code, 0);
  assert.equal((await owners(system)).length, 2);
});

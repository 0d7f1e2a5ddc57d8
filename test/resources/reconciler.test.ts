import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { createResourcesMetrics } from '../../src/resources/metrics.ts';
import { Reconciler } from '../../src/resources/reconciler.ts';
import { giveLeaseBack } from '../../src/store/declared-lease.ts';
import { eventually } from '../support/eventually.ts';
import { MountedFolder } from '../support/mounted.ts';
import { createSystem, document } from './support.ts';

type System = Awaited<ReturnType<typeof createSystem>>;

const domain = (name: string) => document('SendingDomain', name, { owner: 'acme', name: `${name}.test` });

function startReconciler(system: System, id: string, documents = system.documents.path) {
  const registry = createRegistry();
  const reconciler = new Reconciler({
    pool: system.pool,
    adapters: system.adapters,
    folders: { documents, secrets: system.secrets.path },
    interval: 60_000,
    leaseTime: 600,
    id,
    metrics: createResourcesMetrics(registry),
    logger: createLogger({ level: 'silent', format: 'json' }),
  });
  reconciler.start();
  system.defer(() => reconciler.stop());
  return { reconciler, metric: (name: string) => registry.getSingleMetricAsString(name) };
}

describe('a reconciler', () => {
  it('brings about what is declared, and what is changed in a mounted folder', async t => {
    const system = await createSystem(t);
    await giveLeaseBack(system.pool, 'test');
    const mounted = await MountedFolder.create(t, { 'a.yaml': domain('one') });
    const { reconciler, metric } = startReconciler(system, 'pod-1', mounted.path);
    const names = async () => (await system.rows('select name from domains order by name')).map(({ name }) => name);
    await eventually(async () => assert.deepEqual(await names(), ['one.test']) === undefined);
    await mounted.replace({ 'a.yaml': domain('one'), 'b.yaml': domain('two') });
    await eventually(async () => assert.deepEqual(await names(), ['one.test', 'two.test']) === undefined);
    await mounted.replace({ 'b.yaml': domain('two') });
    await eventually(async () => assert.deepEqual(await names(), ['two.test']) === undefined);

    const report = await eventually(async () => {
      const found = await reconciler.report();
      return found.lastPass?.changes.removed === 1 ? found : null;
    });
    assert.deepEqual([report?.leader, report?.isLeader, report?.total, report?.ready], ['pod-1', true, 1, 1]);
    const [object] = report?.objects ?? [];
    assert.deepEqual(
      [object?.kind, object?.name, object?.ready, object?.reason],
      ['SendingDomain', 'two', 'True', 'Applied'],
    );
    assert.match(String(object?.observedGeneration), /^[0-9a-f]{12}$/);
    assert.match(await metric('smtp_relay_resources'), /\{kind="SendingDomain",ready="true"\} 1/);
    assert.match(await metric('smtp_relay_resources_leader'), / 1$/);
  });

  it('works in one process at a time, and in another when that one ends', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') });
    await giveLeaseBack(system.pool, 'test');
    const first = startReconciler(system, 'pod-1');
    await eventually(async () => (await first.reconciler.report()).isLeader);
    const second = startReconciler(system, 'pod-2');
    // Through several times that the lease is renewed.
    await eventually(async () => (await system.rows('select holder from smtp_relay_leases'))[0]?.holder === 'pod-1');
    const { isLeader, leader, ready } = await second.reconciler.report();
    assert.deepEqual([isLeader, leader], [false, 'pod-1']);
    assert.ok(ready <= 1);
    await first.reconciler.stop();
    await eventually(async () => (await second.reconciler.report()).isLeader);
    assert.match(await second.metric('smtp_relay_resources_leader'), / 1$/);
  });

  it('takes over from one that died', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') });
    await system.rows("update smtp_relay_leases set holder = 'dead', until = now() + interval '300 ms'");
    startReconciler(system, 'pod-1');
    await eventually(async () => (await system.rows('select name from domains')).length === 1);
  });

  it('that was stopped before the database was ready does not begin', async t => {
    const system = await createSystem(t);
    const { reconciler } = startReconciler(system, 'pod-1');
    await reconciler.stop();
    await giveLeaseBack(system.pool, 'test');
    reconciler.start();
    await reconciler.stop();
    assert.deepEqual(await system.rows('select holder from smtp_relay_leases'), [{ holder: 'test' }]);
  });

  it('removes nothing because its folder is away', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') });
    await system.reconcile();
    await giveLeaseBack(system.pool, 'test');
    const { reconciler } = startReconciler(system, 'pod-1', join(system.documents.path, 'away'));
    const report = await eventually(async () => {
      const found = await reconciler.report();
      return found.lastPass ? found : null;
    });
    assert.match(report?.lastPass?.problems[0]?.why ?? '', /does not exist/);
    assert.equal((await system.rows('select name from domains')).length, 1);
  });
});

it('nothing is written without the lease', async t => {
  const system = await createSystem(t, { 'a.yaml': domain('one') });
  await system.rows("update smtp_relay_leases set holder = 'other'");
  await assert.rejects(system.reconcile(), { name: 'LeaseLost' });
  assert.deepEqual(await system.rows('select name from domains'), []);
});

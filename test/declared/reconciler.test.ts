import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDeclarationMetrics } from '../../src/declared/metrics.ts';
import { Reconciler } from '../../src/declared/reconciler.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { giveLeaseBack } from '../../src/postgres/lease.ts';
import { eventually } from '../support/eventually.ts';
import { MountedFolder } from '../support/mounted.ts';
import { withClient } from '../support/postgres-server.ts';
import { createSystem, document } from './support.ts';

type System = Awaited<ReturnType<typeof createSystem>>;

const PASSES = 'smtp_relay_resources_pass_seconds';
/** Sessions that wait for a lock. */
const WAITING = "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";

const domain = (name: string) => document('SendingDomain', name, { owner: 'acme', name: `${name}.test` });

interface Options {
  readonly documents?: string;
  readonly interval?: number;
  readonly allowEmpty?: () => boolean;
}

function startReconciler(system: System, id: string, options: Options = {}) {
  const { documents = system.documents.path, interval = 600_000 } = options;
  const registry = createRegistry();
  const reconciler = new Reconciler({
    pool: system.pool,
    tables: system.tables,
    folders: { documents, secrets: system.secrets.path },
    interval,
    allowEmpty: options.allowEmpty ?? (() => false),
    leaseTime: 6_000,
    id,
    metrics: createDeclarationMetrics(registry),
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
    const { reconciler, metric } = startReconciler(system, 'pod-1', { documents: mounted.path });
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

  it('keeps what documents declared that are all gone, and tells of it', async t => {
    const system = await createSystem(t);
    await giveLeaseBack(system.pool, 'test');
    const mounted = await MountedFolder.create(t, { 'a.yaml': domain('one') });
    let allowEmpty = false;
    const options = { documents: mounted.path, interval: 100, allowEmpty: () => allowEmpty };
    const { reconciler, metric } = startReconciler(system, 'pod-1', options);
    const names = async () => (await system.rows('select name from domains')).map(({ name }) => name);
    await eventually(async () => (await names()).length === 1);
    await mounted.replace({});
    const report = await eventually(async () => {
      const found = await reconciler.report();
      return found.lastPass?.kept === 1 ? found : null;
    });
    assert.deepEqual([report?.objects[0]?.ready, report?.objects[0]?.reason], ['False', 'Kept']);
    assert.match(await metric('smtp_relay_resources_kept'), / 1$/);
    assert.deepEqual(await names(), ['one.test']);
    allowEmpty = true;
    await eventually(async () => (await names()).length === 0);
    await eventually(async () => / 0$/.test(await metric('smtp_relay_resources_kept')));
  });

  it('works in one process at a time, and in another when that one ends', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') });
    await giveLeaseBack(system.pool, 'test');
    const first = startReconciler(system, 'pod-1');
    await eventually(async () => (await first.reconciler.report()).isLeader);
    const second = startReconciler(system, 'pod-2');
    const lease = async () => (await system.rows('select holder, until from smtp_relay_leases'))[0];
    const { until } = await lease();
    await eventually(async () => (await lease()).until > until);
    assert.equal((await lease()).holder, 'pod-1', 'renewed, and not taken');
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

  it('begins no pass while another lasts, and makes up for none afterwards', async t => {
    const system = await createSystem(t, { 'a.yaml': domain('one') });
    await giveLeaseBack(system.pool, 'test');
    const interval = 200;
    const { reconciler, metric } = startReconciler(system, 'pod-1', { interval });
    const passes = async () => Number(/_count\{result="ok"\} (\d+)/.exec(await metric(PASSES))?.[1] ?? 0);
    // Beside the pool, of which all connections may wait.
    const waiting = () => withClient(system.databaseUrl, async other => (await other.query(WAITING)).rowCount);
    await eventually(passes);
    await withClient(system.databaseUrl, async blocker => {
      await blocker.query('begin; lock table smtp_relay_declared');
      const atFirst = await eventually(waiting);
      const before = await passes();
      await sleep(20 * interval);
      assert.equal(await waiting(), atFirst, 'no second one waits');
      assert.equal(await passes(), before);
      // Of the same clock as the reconciler's.
      let due = 0;
      const clock = setInterval(() => due++, interval);
      await blocker.query('commit');
      await eventually(() => due === 5);
      clearInterval(clock);
      // The one that lasted, and one that may have come due before the clock began.
      const made = (await passes()) - before;
      assert.ok(made <= due + 2, `${made} passes while ${due} came due`);
    });
    await reconciler.stop();
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
    const { reconciler } = startReconciler(system, 'pod-1', { documents: join(system.documents.path, 'away') });
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

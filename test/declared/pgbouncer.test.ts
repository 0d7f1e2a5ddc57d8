import assert from 'node:assert/strict';
import { it } from 'node:test';
import { createDeclarationMetrics } from '../../src/declared/metrics.ts';
import { Reconciler } from '../../src/declared/reconciler.ts';
import { createLogger } from '../../src/observability/log.ts';
import { createRegistry } from '../../src/observability/metrics.ts';
import { giveLeaseBack } from '../../src/postgres/lease.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { eventually } from '../support/eventually.ts';
import { needs } from '../support/needs.ts';
import { startPgBouncer } from '../support/pgbouncer.ts';
import { createSystem, document } from './support.ts';

it('works through PgBouncer in transaction mode', { skip: needs('pgbouncer') }, async t => {
  const system = await createSystem(t, {
    'a.yaml': document('SendingDomain', 'one', { owner: 'acme', name: 'one.test' }),
  });
  await giveLeaseBack(system.pool, 'test');
  const bouncer = await startPgBouncer(t, system.databaseUrl, 2);
  const logger = createLogger({ level: 'silent', format: 'json' });
  const times = { connectTimeout: 60_000, statementTimeout: 60_000 };
  const pool = createPool({ databaseUrl: bouncer.through(system.databaseUrl), poolSize: 3, ...times }, logger);
  const reconcilers = ['pod-1', 'pod-2'].map(
    id =>
      new Reconciler({
        pool,
        tables: system.tables,
        folders: { documents: system.documents.path, secrets: system.secrets.path },
        interval: 100,
        allowEmpty: () => false,
        leaseTime: 6_000,
        id,
        metrics: createDeclarationMetrics(createRegistry()),
        logger,
      }),
  );
  system.defer(() => pool.end());
  for (const reconciler of reconcilers) {
    reconciler.start();
    system.defer(() => reconciler.stop());
  }
  const names = async () => (await system.rows('select name from domains order by name')).map(({ name }) => name);
  await eventually(async () => assert.deepEqual(await names(), ['one.test']) === undefined);
  await system.documents.write('b.yaml', document('SendingDomain', 'two', { owner: 'acme', name: 'two.test' }));
  await eventually(async () => assert.deepEqual(await names(), ['one.test', 'two.test']) === undefined);
  const leaders = await Promise.all(reconcilers.map(async reconciler => (await reconciler.report()).isLeader));
  assert.deepEqual(leaders.sort(), [false, true]);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLogger } from '../../src/observability/log.ts';
import { createDeclaredRoutes } from '../../src/routing/declared-routes.ts';
import { createSystem, document } from '../declared/support.ts';

const logger = createLogger({ level: 'silent', format: 'json' });

test('declared routes are at most five seconds old, and the same list while nothing changes', async t => {
  const capture = (name: string, domains: string[]) => document('Route', name, { transport: 'capture', domains });
  const system = await createSystem(t, { 'a.yaml': capture('a', ['*.acme.test']) });
  await system.reconcile();
  let now = 0;
  const routes = createDeclaredRoutes(system.pool, { secretsDirectory: '/s', logger, now: () => now });
  assert.deepEqual(routes.latest(), [], 'not read as yet');
  const first = await routes.current();
  assert.equal(routes.latest(), first);
  assert.deepEqual(first, [{ name: 'a', domains: ['*.acme.test'], transport: 'capture', capture: {} }]);

  await system.documents.write(
    'b.yaml',
    capture('b', []) + document('SendingDomain', 'd', { owner: 'o', name: 'mail.acme.test', route: 'b' }),
  );
  await system.reconcile();
  now = 4_999;
  assert.equal(await routes.current(), first);
  now = 5_000;
  const second = await routes.current();
  assert.deepEqual(
    second.map(({ name, domains }) => [name, domains]),
    [
      ['b', ['mail.acme.test']],
      ['a', ['*.acme.test']],
    ],
    'a domain that names its route comes first',
  );
  now = 20_000;
  assert.equal(await routes.current(), second);
});

test('the last routes stay while the database is away; without any, that is an error', async t => {
  const system = await createSystem(t, {
    'a.yaml': document('Route', 'a', { transport: 'capture', domains: ['a.test'] }),
  });
  await system.reconcile();
  let isAway = false;
  const db = {
    query: (...args: unknown[]) => {
      if (isAway) return Promise.reject(new Error('away'));
      return (system.pool.query as (...rest: unknown[]) => unknown)(...args);
    },
  } as typeof system.pool;
  let now = 0;
  const routes = createDeclaredRoutes(db, { secretsDirectory: '/s', logger, now: () => now });
  const first = await routes.current();
  isAway = true;
  now = 6_000;
  assert.equal(await routes.current(), first);
  await assert.rejects(createDeclaredRoutes(db, { secretsDirectory: '/s', logger }).current(), /away/);
});

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { type Backing, installBacking } from './support/backing.ts';
import { get, kubectl } from './support/commands.ts';
import { apply, createNamespace, hasKind, secret } from './support/namespace.ts';
import { frugal } from './support/production.ts';
import { watchReplicas } from './support/replicas.ts';
import { type Values, WAYS } from './support/ways.ts';

const WORKER = 'demo-opensend-smtp-relay-worker';
const missing = (await hasKind('scaledobjects.keda.sh')) ? false : 'KEDA is not installed';
/** Longer than KEDA, and the autoscaler that it makes, take to look for the first time. */
const A_LOOK = 30_000;
const PATIENCE = 120_000;

/** It never takes a pod away by itself: what goes has gone by a change of the chart. */
const keda = { kind: 'keda', minReplicas: 2, maxReplicas: 6, behavior: { scaleDown: { selectPolicy: 'Disabled' } } };

/** As much of KEDA's as fails when KEDA looks at it. */
const nowhere = {
  type: 'postgresql',
  metadata: {
    host: 'nowhere.invalid',
    port: '5432',
    userName: 'nobody',
    dbName: 'none',
    sslmode: 'disable',
    query: 'select 1',
    targetQueryValue: '1',
  },
};

describe('KEDA on a database whose password is apart', { skip: missing }, () => {
  // Freed in reverse.
  const parts = new AsyncDisposableStack();
  let backing: Backing;

  before(async () => {
    backing = await installBacking('smtp-relay-keda-backing');
    parts.defer(() => backing.remove());
  });

  after(() => parts.disposeAsync());

  /** The password in a Secret of its own, all else in the settings: there is no URL that KEDA could be given. */
  function values(worker: Values): Values {
    const { host, port, user, name } = backing.database;
    return {
      pipeline: 'standalone',
      tls: { mode: 'none' },
      config: { hostname: 'smtp.acme.test', database: { host, port, user, name } },
      secrets: { databasePassword: { existingSecret: 'database' } },
      relay: { ...(frugal['relay'] as object), replicas: 1 },
      worker: { ...(frugal['worker'] as object), ...worker },
    };
  }

  for (const way of WAYS) {
    it(`comes and goes by ${way.name}, and no pod goes with it`, { skip: way.missing }, async t => {
      const mine = new AsyncDisposableStack();
      t.after(() => mine.disposeAsync());
      const namespace = await createNamespace({ after: fn => mine.defer(fn) }, `smtp-relay-keda-${way.id}`);
      await apply(namespace, secret('database', { PGPASSWORD: backing.database.password }));
      const watch = watchReplicas(namespace, WORKER);
      mine.defer(() => watch.stop());
      mine.defer(() => way.remove(namespace));
      const least = () => watch.leastSinceLast();
      const has = async (key: string) => (await get([key, '-n', namespace])) as { spec: { replicas: number } };

      await way.apply(namespace, values({ replicas: 3 }));
      await least();
      await way.apply(namespace, values({ replicas: 3, autoscaling: keda }));
      await ready(namespace);
      await sleep(A_LOOK);
      assert.equal(await least(), 3, 'none to keda');
      await way.test?.(namespace);

      await minimum(namespace, 4);
      await eventually(async () => (await has(`deployment/${WORKER}`)).spec.replicas === 4, PATIENCE);
      await minimum(namespace, keda.minReplicas);
      await least();
      const next = {
        ...values({ replicas: 3, autoscaling: keda }),
        commonAnnotations: { 'acme.test/release': 'next' },
      };
      await way.apply(namespace, next);
      assert.equal(await least(), 4, 'keda as before');
      await way.apply(namespace, values({ replicas: 1 }));
      // What a manifest no longer has is removed by Helm; kubectl leaves it.
      if (!way.prunes) await kubectl(['-n', namespace, 'delete', `scaledobject/${WORKER}`]);
      await sleep(A_LOOK);
      assert.equal(await least(), 4, 'keda to none');

      if (!way.test) return;
      await way.apply(namespace, values({ autoscaling: { ...keda, keda: { triggers: [nowhere] } } }));
      await assert.rejects(way.test(namespace), /ScaledObject .*-worker is not ready: .*nowhere\.invalid/);
    });

    it(`begins by ${way.name} with the minimum`, { skip: way.missing }, async t => {
      const mine = new AsyncDisposableStack();
      t.after(() => mine.disposeAsync());
      const namespace = await createNamespace({ after: fn => mine.defer(fn) }, `smtp-relay-keda-first-${way.id}`);
      await apply(namespace, secret('database', { PGPASSWORD: backing.database.password }));
      const watch = watchReplicas(namespace, WORKER);
      mine.defer(() => watch.stop());
      mine.defer(() => way.remove(namespace));
      await way.apply(namespace, values({ replicas: 1, autoscaling: { ...keda, minReplicas: 3 } }));
      await ready(namespace);
      await sleep(A_LOOK);
      assert.equal(await watch.leastSinceLast(), 3);
    });
  }
});

/** Waits until KEDA says that it is ready, and Kubernetes' autoscaler that it was given a number: it has asked the database. */
async function ready(namespace: string): Promise<void> {
  await kubectl(['-n', namespace, 'wait', `scaledobject/${WORKER}`, '--for=condition=Ready', '--timeout=120s']);
  const hpa = `hpa/keda-hpa-${WORKER}`;
  await kubectl(['-n', namespace, 'wait', hpa, '--for=condition=ScalingActive', '--timeout=120s']);
}

/** Sets KEDA's minimum by hand, as a number that load would have brought. */
async function minimum(namespace: string, minReplicaCount: number): Promise<void> {
  const patch = JSON.stringify({ spec: { minReplicaCount } });
  await kubectl(['-n', namespace, 'patch', `scaledobject/${WORKER}`, '--type=merge', '-p', patch]);
}

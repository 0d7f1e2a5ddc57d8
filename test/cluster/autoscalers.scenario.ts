import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { get, kubectl } from './support/commands.ts';
import { createNamespace, hasKind } from './support/namespace.ts';
import { watchReplicas } from './support/replicas.ts';
import { type Values, WAYS, type Way } from './support/ways.ts';

const RELAY = 'demo-opensend-smtp-relay-relay';
const LITTLE = { resources: { requests: { cpu: '10m', memory: '128Mi' } } };
const hasKeda = await hasKind('scaledobjects.keda.sh');
/** Longer than an autoscaler takes to look for the first time. */
const A_LOOK = 20_000;

/** The demo, since it brings all else that pods need to become ready. */
function demo(relay: Values): Values {
  return {
    demo: { enabled: true, password: 'autoscalers-password', apiKey: 'os_live_autoscalers_scenario_key' },
    test: { enabled: false },
    relay: { ...LITTLE, ...relay },
    worker: { ...LITTLE, replicas: 1 },
  };
}

/** It never takes a pod away by itself: what goes has gone by a change of the chart. */
const behavior = { scaleDown: { selectPolicy: 'Disabled' } };
const hpa = { kind: 'hpa', minReplicas: 2, maxReplicas: 6, hpa: { cpuUtilization: 1000 }, behavior };
const keda = { ...hpa, kind: 'keda' };

for (const way of WAYS) {
  describe(`autoscalers come and go by ${way.name}`, { skip: way.missing }, () => {
    it('begins with no fewer pods than the minimum', async t => {
      const { apply, least } = await installed(t, way, 'first');
      await apply(demo({ replicas: 1, autoscaling: { ...hpa, minReplicas: 3 } }));
      await sleep(A_LOOK);
      assert.equal(await least(), 3);
    });

    it('takes no pod away, from none to an autoscaler, with it, and back', async t => {
      const { apply, least, namespace } = await installed(t, way, 'change');
      await apply(demo({ replicas: 3 }));
      assert.equal(await least(), 3, 'as many as asked for');
      await apply(demo({ replicas: 3, autoscaling: hpa }));
      await sleep(A_LOOK);
      assert.equal(await least(), 3, 'none to hpa');
      // The autoscaler itself changes the number, as under load.
      await scaledByAutoscaler(namespace, 4);
      await least();
      await apply({ ...demo({ replicas: 3, autoscaling: hpa }), commonAnnotations: { 'acme.test/release': 'next' } });
      await sleep(A_LOOK);
      assert.equal(await least(), 4, 'hpa as before');
      await apply(demo({ replicas: 2 }), { without: `hpa/${RELAY}` });
      await sleep(A_LOOK);
      assert.equal(await least(), 4, 'hpa to none');
      if (hasKeda) {
        await apply(demo({ replicas: 4, autoscaling: keda }));
        await sleep(A_LOOK);
        assert.equal(await least(), 4, 'none to keda');
      }
    });
  });
}

interface TestContext {
  after(fn: () => Promise<void>): void;
}

async function installed(t: TestContext, way: Way, what: string) {
  // Freed in reverse.
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const namespace = await createNamespace({ after: fn => parts.defer(fn) }, `smtp-relay-${way.id}-${what}`);
  const watch = watchReplicas(namespace, RELAY);
  parts.defer(() => watch.stop());
  parts.defer(() => way.remove(namespace));
  const apply = async (values: Values, { without }: { without?: string } = {}): Promise<void> => {
    await way.apply(namespace, values);
    // What a manifest no longer has is removed by Helm; kubectl leaves it.
    if (without && !way.prunes) await kubectl(['-n', namespace, 'delete', without, '--ignore-not-found']);
  };
  return { namespace, apply, least: () => watch.leastSinceLast() };
}

/** Raises the autoscaler's minimum by hand and lowers it again. */
async function scaledByAutoscaler(namespace: string, count: number): Promise<void> {
  const raise = (minReplicas: number) =>
    kubectl([
      '-n',
      namespace,
      'patch',
      `hpa/${RELAY}`,
      '--type=merge',
      '-p',
      JSON.stringify({ spec: { minReplicas } }),
    ]);
  const before = await get([`hpa/${RELAY}`, '-n', namespace]);
  await raise(count);
  await eventually(async () => (await get([`deployment/${RELAY}`, '-n', namespace])).spec.replicas === count, 90_000);
  await raise(before.spec.minReplicas);
}

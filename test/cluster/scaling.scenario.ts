import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { Mailers } from '../support/mailers.ts';
import { type Backing, installBacking } from './support/backing.ts';
import { get, kubectl } from './support/commands.ts';
import { checkLedger } from './support/ledger.ts';
import { apply, createNamespace, hasKind } from './support/namespace.ts';
import { serverOf } from './support/outside.ts';
import { authority, CLIENT, createClient, productionValues, SERVER_NAME } from './support/production.ts';
import { Release, type Values } from './support/release.ts';

const NAMESPACE = 'smtp-relay-scaling';
const PATIENCE = 400_000;
const MESSAGES = 900;
const needed = { 'certificates.cert-manager.io': 'cert-manager', 'scaledobjects.keda.sh': 'KEDA' };
const missing: string[] = [];
for (const [kind, name] of Object.entries(needed)) if (!(await hasKind(kind))) missing.push(`${name} is not installed`);
const hasMetrics =
  (await kubectl(['get', 'apiservice', 'v1beta1.metrics.k8s.io', '--ignore-not-found', '-o', 'name'])) !== '';
if (!hasMetrics) missing.push('the metrics server is not installed');

describe('scaled by itself', { skip: missing.join(', ') || false }, () => {
  const release = new Release('mail', NAMESPACE);
  // Freed in reverse.
  const parts = new AsyncDisposableStack();
  let backing: Backing;
  let values: Values;
  let key: string;

  before(async () => {
    // A slow provider, so that one worker cannot keep up.
    backing = await installBacking(`${NAMESPACE}-backing`, { sesLatency: 1_000 });
    parts.defer(() => backing.remove());
    await createNamespace({ after: fn => parts.defer(fn) }, NAMESPACE);
    await apply(NAMESPACE, ...authority());
    key = await createClient(NAMESPACE);
    values = productionValues(backing);
    parts.defer(() => release.uninstall());
  });

  after(() => parts.disposeAsync());

  /** As many applications as that send as fast as they can. */
  async function start(pools: number, pause: number): Promise<Mailers> {
    const server = await serverOf(release, NAMESPACE, release.objectName('tls'));
    return new Mailers({ ...server, servername: SERVER_NAME, key, from: CLIENT.from, pools, connections: 4, pause });
  }

  it('KEDA: no worker without work, three for a queue full of it, none again', async () => {
    const { config } = values as { config: Values };
    await release.apply({
      ...values,
      config: { ...config, worker: { concurrency: 2 } },
      worker: {
        ...(values['worker'] as object),
        autoscaling: {
          kind: 'keda',
          minReplicas: 0,
          maxReplicas: 3,
          behavior: quick(),
          keda: {
            pollingInterval: 5,
            cooldownPeriod: 15,
            sqs: { messagesPerPod: 100 },
            postgres: { entriesPerPod: 100 },
          },
        },
      },
    });
    await release.scaledTo('worker', 0, PATIENCE);
    const mailers = await start(2, 0);
    await eventually(() => mailers.accepted >= MESSAGES, PATIENCE);
    const result = await mailers.stop();
    await release.scaledTo('worker', 3, PATIENCE);
    // What waits is partly in the queue and partly in the outbox: either shows enough of it.
    await eventually(async () => (await backing.sent()) > result.accepted / 3, PATIENCE);
    assert.equal((await release.pods('worker')).length, 3, 'no worker goes while most of it waits');
    await checkLedger(backing.db, result, { delivered: true, within: PATIENCE });
    await release.scaledTo('worker', 0, PATIENCE);
    assert.equal(await backing.sent(), result.accepted);
  });

  it('a HorizontalPodAutoscaler: one relay while it is quiet, more under load, one again', async () => {
    await release.apply({
      ...values,
      worker: { ...(values['worker'] as object), replicas: 1 },
      relay: {
        ...(values['relay'] as object),
        autoscaling: { kind: 'hpa', minReplicas: 1, maxReplicas: 3, hpa: { cpuUtilization: 150 }, behavior: quick() },
      },
    });
    await release.scaledTo('relay', 1, PATIENCE);
    const mailers = await start(4, 20);
    try {
      await eventually(async () => {
        const { status } = await get([`hpa/${release.objectName('relay')}`, '-n', NAMESPACE]);
        return status.desiredReplicas > 1;
      }, PATIENCE);
      await eventually(async () => (await release.pods('relay')).length > 1, PATIENCE);
      await release.settled();
      const soFar = mailers.accepted;
      await eventually(() => mailers.accepted > soFar + 100, PATIENCE);
    } finally {
      await mailers.stop();
    }
    await release.scaledTo('relay', 1, PATIENCE);
    await checkLedger(backing.db, await mailers.stop(), { delivered: true, within: PATIENCE });
  });
});

/** Down within seconds rather than minutes, for the sake of the test. */
function quick(): Values {
  return { scaleDown: { stabilizationWindowSeconds: 15, policies: [{ type: 'Pods', value: 1, periodSeconds: 15 }] } };
}

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { type Backing, installBacking } from '../support/backing.ts';
import { type Bystander, reachesFrom, startBystander } from '../support/bystander.ts';
import { get, kubectl } from '../support/commands.ts';
import { checkLedger } from '../support/ledger.ts';
import { apply, createNamespace, hasKind } from '../support/namespace.ts';
import { serverOf, startMailers } from '../support/outside.ts';
import { authority, createClient, productionValues } from '../support/production.ts';
import { Release, type Values } from '../support/release.ts';

/*
 * make test-cluster-policies
 *
 * Not among the scenarios of `make test-cluster`: it needs a cluster whose network enforces NetworkPolicies, and fails where it does
 * not. Needs cert-manager.
 */
const NAMESPACE = 'smtp-relay-policies';
const BACKING = `${NAMESPACE}-backing`;
const MONITORING = `${NAMESPACE}-monitoring`;
const OTHERS = `${NAMESPACE}-others`;
const SMARTHOST = 2526;
const ELSEWHERE = 9999;

describe('network policies, in force', () => {
  const release = new Release('mail', NAMESPACE);
  // Freed in reverse.
  const parts = new AsyncDisposableStack();
  let backing: Backing;
  let values: Values;
  let other: Bystander;
  let monitor: Bystander;
  let key: string;

  before(async () => {
    const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
    for (const name of [MONITORING, OTHERS]) {
      await kubectl(['create', 'namespace', name]);
      parts.defer(async () => void (await kubectl(['delete', 'namespace', name, '--timeout=120s'])));
    }
    other = await startBystander(OTHERS, 'other', [443, SMARTHOST, 5432, ELSEWHERE]);
    monitor = await startBystander(MONITORING, 'monitor', []);
    await enforced(other, monitor);
    backing = await installBacking(BACKING);
    parts.defer(() => backing.remove());
    await createNamespace(context, NAMESPACE);
    await apply(NAMESPACE, ...authority());
    key = await createClient(NAMESPACE);
    values = withPolicies(productionValues(backing), other);
    parts.defer(() => release.uninstall());
    await release.apply(values);
  });

  after(() => parts.disposeAsync());

  const from = async (component: 'relay' | 'worker', host: string, port: number): Promise<boolean> =>
    reachesFrom(NAMESPACE, (await release.podNames(component))[0] ?? '', host, port);
  const addressOf = async (component: 'relay' | 'worker'): Promise<string> =>
    (await release.pods(component))[0]?.status.podIP;

  it('what pods need goes through: clients outside, database, queue, SES, probes', async () => {
    assert.match(await release.test(), /All that is declared is in force\.[\s\S]*is sent\./);
    const mailers = startMailers(await serverOf(release, NAMESPACE, release.objectName('tls')), key);
    await eventually(() => mailers.accepted > 500, 120_000).finally(() => mailers.stop());
    await checkLedger(backing.db, await mailers.stop(), { delivered: true });
    for (const { status } of [...(await release.pods('relay')), ...(await release.pods('worker'))])
      assert.equal(status.containerStatuses[0].restartCount, 0);
  });

  it('the relay reaches the database, the queue and HTTPS, and nothing else', async () => {
    assert.ok(await from('relay', `postgres.${BACKING}.svc`, 5432), 'its database, by name');
    assert.ok(await from('relay', `queue.${BACKING}.svc`, 4566), 'its queue');
    assert.ok(await from('relay', other.address, 443), 'HTTPS');
    assert.ok(!(await from('relay', `ses.${BACKING}.svc`, 4567)), 'SES is for workers');
    assert.ok(!(await from('relay', other.address, SMARTHOST)), 'so are smarthosts');
    assert.ok(!(await from('relay', other.address, 5432)), 'another database');
    assert.ok(!(await from('relay', other.address, ELSEWHERE)), 'any other port');
  });

  it('the worker reaches SES and the smarthost of a declared route besides, and nothing else', async () => {
    assert.ok(await from('worker', `postgres.${BACKING}.svc`, 5432), 'its database, by name');
    assert.ok(await from('worker', `queue.${BACKING}.svc`, 4566), 'its queue');
    assert.ok(await from('worker', `ses.${BACKING}.svc`, 4567), 'SES');
    assert.ok(await from('worker', other.address, SMARTHOST), 'the smarthost');
    assert.ok(!(await from('worker', other.address, 5432)), 'another database');
    assert.ok(!(await from('worker', other.address, ELSEWHERE)), 'any other port');
  });

  it('clients reach SMTP, the world the public port, and only monitoring the metrics', async () => {
    const [relay, worker] = [await addressOf('relay'), await addressOf('worker')];
    assert.ok(await other.reaches(relay, 2587), 'SMTP');
    assert.ok(await other.reaches(worker, 8081), 'tracking and SNS');
    for (const address of [relay, worker]) {
      assert.ok(!(await other.reaches(address, 8080)), 'metrics, for others');
      assert.ok(await monitor.reaches(address, 8080), 'metrics, for monitoring');
    }
  });

  it('where only some may send, others cannot', async () => {
    const { networkPolicy } = values as { networkPolicy: Values };
    await release.apply({ ...values, networkPolicy: { ...networkPolicy, smtp: { from: [namespaced(MONITORING)] } } });
    const relay = await addressOf('relay');
    await eventually(async () => !(await other.reaches(relay, 2587)), 30_000);
    assert.ok(await monitor.reaches(relay, 2587));
  });

  it('the demo runs the same, and only its own pods reach its Postgres', async t => {
    const mine = new AsyncDisposableStack();
    t.after(() => mine.disposeAsync());
    const namespace = await createNamespace({ after: fn => mine.defer(fn) }, `${NAMESPACE}-demo`);
    const demo = new Release('demo', namespace);
    mine.defer(() => demo.uninstall());
    const worker = (await hasKind('scaledobjects.keda.sh')) ? { autoscaling: { kind: 'keda' } } : {};
    await demo.apply({ demo: { enabled: true }, networkPolicy: { enabled: true }, worker });
    const said = await demo.test();
    assert.match(said, /The message went out by the transport capture, and is sent\./);
    if ('autoscaling' in worker) assert.match(said, /is scaled by KEDA/, 'which asks the Postgres too');
    const { items } = await get<{ items: { status: { podIP: string } }[] }>([
      'pods',
      '-n',
      namespace,
      '-l',
      'app.kubernetes.io/component=demo-postgres',
    ]);
    assert.ok(!(await other.reaches(items[0]?.status.podIP ?? '', 5432)));
  });
});

/** With what is not derived: where the database is, and who reads metrics. A declared route leads to a smarthost. */
function withPolicies(values: Values, smarthost: Bystander): Values {
  const { declared, ...rest } = values as { declared: { documents: Values } };
  const smtp = { host: smarthost.address, port: SMARTHOST };
  const route = { kind: 'Route', spec: { domains: ['elsewhere.test'], transport: 'smtp', smtp } };
  return {
    ...rest,
    declared: { ...declared, documents: { ...declared.documents, route } },
    networkPolicy: {
      enabled: true,
      http: { from: [namespaced(MONITORING)] },
      egress: { database: [namespaced(BACKING)] },
    },
  };
}

const namespaced = (name: string) => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
});

/** Fails where the network of the cluster does not do what policies say. */
async function enforced(other: Bystander, monitor: Bystander): Promise<void> {
  assert.ok(await monitor.reaches(other.address, ELSEWHERE), 'pods reach each other without policies');
  const spec = { podSelector: {}, policyTypes: ['Ingress'] };
  const policy = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'nobody' }, spec };
  await apply(OTHERS, policy);
  await eventually(async () => !(await monitor.reaches(other.address, ELSEWHERE)), 30_000).catch(() => {
    throw new Error(
      'the network of this cluster does not enforce NetworkPolicies, so that there is nothing to try here',
    );
  });
  await kubectl(['-n', OTHERS, 'delete', 'networkpolicy', 'nobody']);
  await eventually(() => monitor.reaches(other.address, ELSEWHERE), 30_000);
}

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../support/eventually.ts';
import { Mailers } from '../support/mailers.ts';
import { kubectl } from './support/commands.ts';
import { apply, createNamespace } from './support/namespace.ts';
import { serverOf } from './support/outside.ts';
import { frugal } from './support/production.ts';
import { Release, type Values } from './support/release.ts';

const NAMESPACE = 'smtp-relay-declared';
const TEAM = 'team-b';
const EACH = 5_000;
/** Until pods have changed ConfigMaps, and a reconciler has gone through them. */
const PATIENCE = 180_000;

const domain = (name: string, owner = 'acme'): object => ({ kind: 'SendingDomain', spec: { owner, name } });
/** The demo, since it brings all else. */
const demo = (declared: Values, more: Values = {}): Values => ({
  demo: { enabled: true },
  declared,
  ...frugal,
  ...more,
});

describe('what is declared', () => {
  it('is looked at by helm test, kept where it is emptied, and taken away by a word', async t => {
    const { release } = await namespaced(t, 'care');
    const own = { enabled: true, existingConfigMaps: [{ name: TEAM }] };
    const documents = { acme: domain('acme.test'), shop: domain('shop.test') };
    await team(`kind: SmtpCredential\nspec: {owner: acme, keyFile: nowhere/key}`);
    await release.apply(demo({ ...own, documents }));
    await assert.rejects(release.test(), failure(/what is declared is not in force[\s\S]*billing/));
    await team('kind: SendingDomain\nspec: {ownr: acme, name: b.test}');
    await assert.rejects(release.test(), failure(/what is declared is not in force[\s\S]*ownr/));
    const typo = { ...documents, acme: { kind: 'SendingDomain', spec: { ownr: 'acme', name: 'acme.test' } } };
    await assert.rejects(release.apply(demo({ ...own, documents: typo })), /acme[\s\S]*ownr/);
    await team('kind: SendingDomain\nspec: {owner: acme, name: b.test}');
    assert.match(await release.test(), /All that is declared is in force\./);

    await release.apply(demo(own));
    await eventually(async () => (await states(release)).filter(state => state === 'Kept').length === 2, PATIENCE);
    await assert.rejects(release.test(), failure(/what is declared is not in force/));
    await release.apply(demo({ ...own, allowEmpty: true }));
    await eventually(async () => (await states(release)).length === 1, PATIENCE);
    assert.match(await release.test(), /All that is declared is in force\./);

    // The switch off: nobody reconciles what is still there, and everybody says so.
    await release.apply(demo({ enabled: false }));
    const [pod = ''] = await release.podNames('relay');
    await eventually(async () => {
      await sleep(2_000);
      return (await release.metric(pod, 'smtp_relay_resources_unreconciled')) > 0;
    }, PATIENCE);
    const path = `/api/v1/namespaces/${NAMESPACE}-care/pods/${pod}:8080/proxy/healthz`;
    assert.equal(JSON.parse(await kubectl(['get', '--raw', path])).status, 'degraded');

    async function team(text: string): Promise<void> {
      const [kind, ...spec] = text.split('\n');
      const document = `apiVersion: relay.opensend.dev/v1alpha1\n${kind}\nmetadata: {name: billing}\n${spec.join('\n')}\n`;
      const data = { 'mail.yaml': document };
      await apply(`${NAMESPACE}-care`, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: TEAM }, data });
    }
  });

  it('may be ten thousand documents, whose keys log in', async t => {
    const { release, namespace } = await namespaced(t, 'many');
    const keys = Array.from({ length: EACH }, () => `os_live_${randomBytes(16).toString('hex')}`);
    const hash = (key: string) => createHash('sha256').update(key).digest('hex');
    const entries = keys.flatMap((key, index): [string, object][] => {
      const credential = { owner: `owner-${index}`, domain: `many-${index}.test`, keyHash: hash(key) };
      return [
        [`d-${index}`, domain(`many-${index}.test`, `owner-${index}`)],
        [`k-${index}`, { kind: 'SmtpCredential', spec: credential }],
      ];
    });
    const service = { type: 'LoadBalancer' };
    const took = await release.apply(demo({ enabled: true, documents: Object.fromEntries(entries) }, { service }));
    const began = performance.now();
    await eventually(async () => {
      await sleep(1_000);
      const all = await states(release);
      return all.length === entries.length && all.every(state => state === 'Ready');
    }, PATIENCE);
    const reconciled = performance.now() - began;
    console.log(
      `${entries.length} documents: installed after ${Math.round(took / 1000)} s, in force ${Math.round(reconciled / 1000)} s later`,
    );
    assert.match(await release.test(), /All that is declared is in force\./);
    const server = await serverOf(release, namespace, release.objectName('demo-tls'));
    for (const index of [0, 1_234, EACH - 1]) {
      const from = `app@many-${index}.test`;
      const options = { ...server, servername: 'localhost', key: keys[index] ?? '', from, pools: 1, connections: 1 };
      const mailers = new Mailers(options);
      await eventually(() => mailers.accepted > 1 || mailers.failed > 0, 60_000);
      assert.deepEqual([...(await mailers.stop()).errors], []);
    }
    // One taken away is one removed, and nothing else.
    const fewer = Object.fromEntries(entries.slice(0, -1));
    await release.apply(demo({ enabled: true, documents: fewer }, { service }));
    await eventually(async () => (await states(release)).length === entries.length - 1, PATIENCE);
  });
});

interface TestContext {
  after(fn: () => Promise<void>): void;
}

async function namespaced(t: TestContext, what: string) {
  // Freed in reverse.
  const parts = new AsyncDisposableStack();
  t.after(() => parts.disposeAsync());
  const namespace = await createNamespace({ after: fn => parts.defer(fn) }, `${NAMESPACE}-${what}`);
  const release = new Release('demo', namespace);
  parts.defer(() => release.uninstall());
  return { namespace, release };
}

/** How each declared object stands. */
async function states(release: Release): Promise<string[]> {
  const objects: { ready: string; reason: string }[] = JSON.parse(await release.cli('resources', 'list', '--json'));
  return objects.map(({ ready, reason }) => (ready === 'True' ? 'Ready' : reason));
}

/** That a program failed, and what it printed. */
function failure(expected: RegExp): (error: unknown) => true {
  return error => {
    const { message, stdout = '' } = error as Error & { stdout?: string };
    assert.match(`${message}\n${stdout}`, expected);
    return true;
  };
}

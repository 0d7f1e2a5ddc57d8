import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createTransport } from 'nodemailer';
import { eventually } from '../support/eventually.ts';
import { get, type KubernetesList, type KubernetesObject, kubectl, kubectlSays } from './support/commands.ts';
import { createNamespace } from './support/namespace.ts';
import { Release } from './support/release.ts';

const NAMESPACE = 'smtp-relay-demo';
const LIMIT_MS = 180_000;
const KINDS =
  'deployments,replicasets,pods,jobs,services,configmaps,secrets,serviceaccounts,poddisruptionbudgets,persistentvolumeclaims';

describe('the demo', () => {
  it('goes from nothing to a message in the capture in less than three minutes, and leaves nothing behind', async t => {
    await createNamespace(t, NAMESPACE);
    const before = await objects();
    const release = new Release('demo', NAMESPACE);
    const began = performance.now();
    const installed = await release.apply({ demo: { enabled: true } });
    const logs = await release.test();
    const took = performance.now() - began;
    assert.match(logs, /The message went out by the transport capture, and is sent\./);
    const captured = await Promise.all((await release.podNames('worker')).map(name => capturedBy(name)));
    assert.match(captured.join('\n'), /^Subject: Sent by helm test$/m);
    console.log(
      `installed after ${Math.round(installed / 1000)} s, the message captured after ${Math.round(took / 1000)} s`,
    );
    assert.ok(took < LIMIT_MS, `${took} ms`);

    await release.uninstall();
    // The pod of the test is kept, so that its logs can be read.
    await kubectl(['-n', NAMESPACE, 'delete', 'pod', '-l', 'app.kubernetes.io/component=test', '--ignore-not-found']);
    // Pods take their time to stop.
    await eventually(async () => {
      assert.deepEqual(await objects(), before);
      return true;
    }, 60_000);
  });

  it('is reached by its load balancer, with its certificate checked: by localhost at first, then by the address too', async t => {
    // Freed in reverse.
    const parts = new AsyncDisposableStack();
    t.after(() => parts.disposeAsync());
    const namespace = await createNamespace({ after: fn => parts.defer(fn) }, `${NAMESPACE}-outside`);
    const release = new Release('demo', namespace);
    parts.defer(() => release.uninstall());
    const values = { demo: { enabled: true }, service: { type: 'LoadBalancer' } };
    await release.apply(values);
    const host = await release.address();
    assert.equal(await deliver(namespace, { host, tls: { servername: 'localhost' } }), '250');
    await assert.rejects(deliver(namespace, { host, tls: {} }), /not in the cert's list|does not match certificate/);

    const pods = await release.podNames('relay');
    await release.apply(values);
    await eventually(() => deliver(namespace, { host, tls: {} }).catch(() => false), 150_000);
    assert.deepEqual(await release.podNames('relay'), pods, 'without another pod');
    assert.deepEqual(await warnings(namespace), []);
  });
});

/** As the notes of the chart say it, by the files that they have one fetch. @returns the code of the reply to the message */
async function deliver(namespace: string, { host, tls }: { host: string; tls: object }): Promise<string> {
  const read = async (secret: string) => (await get([`secret/${secret}`, '-n', namespace])) as { data?: Data };
  const { data: { API_KEY = '' } = {} } = await read('demo-opensend-smtp-relay-demo');
  const { data: { 'ca.crt': ca = '' } = {} } = await read('demo-opensend-smtp-relay-demo-tls');
  const plain = (text: string) => Buffer.from(text, 'base64').toString();
  const transport = createTransport({
    host,
    port: 2587,
    requireTLS: true,
    tls: { ca: plain(ca), ...tls },
    auth: { user: 'apikey', pass: plain(API_KEY) },
  });
  const message = { from: 'hello@demo.test', to: 'you@example.com', subject: 'Hello', text: 'It works.' };
  const { response } = await transport.sendMail(message);
  return response.slice(0, 3);
}

type Data = Readonly<Record<string, string>>;

/** Seconds that the startup probe of the chart waits for a pod: until it asks, and for its answer. */
const STARTUP_WAIT = 10;

/**
 * What events say of pods that were asked whether they are ready before they were. Pods that were not ready when the startup probe
 * had waited are another matter, which a busy machine brings about: the program has not begun to listen, or has no database yet.
 */
async function warnings(namespace: string): Promise<string[]> {
  const of = ['events', '-n', namespace, '--field-selector=type=Warning,reason=Unhealthy'];
  const { items: events } = await get<{ items: Warning[] }>(of);
  const { items: pods } = await get<KubernetesList>(['pods', '-n', namespace]);
  const slow = pods.filter(pod => secondsToReady(pod) > STARTUP_WAIT).map(({ metadata }) => metadata.name);
  return events
    .filter(({ message, involvedObject: { name } }) => !/connection refused/.test(message) && !slow.includes(name))
    .map(({ message }) => message);
}

interface Warning {
  readonly message: string;
  readonly involvedObject: { readonly name: string };
}

/** From the start of its first container. */
function secondsToReady({ status }: KubernetesObject): number {
  const ready = status.conditions.find(({ type }: { type: string }) => type === 'Ready');
  const started = status.containerStatuses[0].state.running?.startedAt;
  return (Date.parse(ready.lastTransitionTime) - Date.parse(started)) / 1_000;
}

async function capturedBy(pod: string): Promise<string> {
  const read = `
    const { readdirSync, readFileSync } = require('node:fs');
    const folder = '/var/lib/smtp-relay/captured/';
    for (const name of readdirSync(folder)) if (name.endsWith('.eml')) console.log(readFileSync(folder + name, 'utf8'));`;
  return kubectlSays(['-n', NAMESPACE, 'exec', pod, '--', 'node', '-e', read]).then(text => text.replaceAll('\r', ''));
}

async function objects(): Promise<string[]> {
  return (await kubectl(['-n', NAMESPACE, 'get', KINDS, '-o', 'name'])).split('\n').filter(Boolean).sort();
}

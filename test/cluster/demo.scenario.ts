import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { kubectl, kubectlSays } from './support/commands.ts';
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
});

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

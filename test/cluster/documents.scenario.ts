import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../dev/ports.ts';
import { ROOT } from '../docs/documents.ts';
import { paste, programs, type Shell } from '../docs/shell.ts';
import { commandsFor, type Found, linesFor } from '../docs/who-runs.ts';
import { eventually } from '../support/eventually.ts';
import { HELM, run } from './support/commands.ts';
import { IMAGE_VALUES } from './support/images.ts';
import { createNamespace } from './support/namespace.ts';
import { Release } from './support/release.ts';

/*
 * What the documents have one type at pods that run, pasted as it stands but for the namespace. What an API server alone can answer is
 * run by test/docs/kubernetes-commands.test.ts.
 */

const NAMESPACE = 'smtp-relay-documents';
const { KUBECTL = 'kubectl', KUBECONFIG = '' } = env;
const { HELM_4 = fileURLToPath(new URL('../../.cache/k8s-tools/bin/helm4', import.meta.url)) } = env;
const own = linesFor('test/cluster/documents.scenario.ts');
const ofHelm4 = ({ document }: Found) => document === 'docs/helm-4.md';

/** What a reader has there: a release of this name, which sends nothing and has an inbox. */
async function install(t: TestContext, name: string, namespace: string): Promise<Release> {
  const release = new Release(name, namespace);
  t.after(() => release.uninstall());
  // Two releases beside each other on a small node.
  const one = { replicas: 1 };
  await release.apply({ demo: { enabled: true }, config: { inbox: { enabled: true } }, relay: one, worker: one });
  return release;
}

interface TestContext {
  after(fn: () => Promise<void>): void;
}

async function openShell(t: TestContext): Promise<Shell> {
  const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-documents-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await symlink(join(ROOT, 'charts'), join(folder, 'charts'));
  await writeFile(join(folder, 'values.yaml'), JSON.stringify(IMAGE_VALUES));
  const scripts = { helm: `#!/bin/sh\nexec '${HELM}' "$@"\n`, kubectl: `#!/bin/sh\nexec '${KUBECTL}' "$@"\n` };
  return { folder, env: { KUBECONFIG, PATH: await programs(folder, [], scripts) } };
}

/** Whose release, namespace and Deployments a reader has. */
function filledIn(line: string, release: string, namespace: string): string {
  const relay = `deploy/${release}-opensend-smtp-relay-relay`;
  const typed = line.replace('-n mail ', '').replace(/deploy\/(?:smtp-relay|<relay>)(?= )/, relay);
  return typed.replace(/^kubectl /, `kubectl -n ${namespace} `).replace(/^helm /, `helm -n ${namespace} `);
}

describe('what the documents have one type at a cluster', () => {
  it('is done by its pods', async t => {
    const parts = new AsyncDisposableStack();
    t.after(() => parts.disposeAsync());
    const context = { after: (fn: () => Promise<void>) => parts.defer(fn) };
    const namespace = await createNamespace(context, NAMESPACE);
    for (const name of ['demo', 'mail']) await install(context, name, namespace);
    const shell = await openShell(context);

    for (const found of own.filter(each => !ofHelm4(each))) {
      const { document, line } = found;
      const typed = filledIn(line, 'mail', namespace);
      console.log(`${document}: ${typed}`);
      if (line.includes(' port-forward ')) {
        await forwarded(typed, shell);
        continue;
      }
      const { code, stdout, stderr } = await paste(typed, shell);
      // The doctor of a demo finds what a demo lacks.
      const codes = line.includes(' doctor') ? [0, 1] : [0];
      assert.ok(code !== null && codes.includes(code), `${typed}: ${stderr}`);
      assert.notEqual(stdout.trim(), '', typed);
    }
  });

  it('is known to Helm 4, where it is about Helm 4', async () => {
    const named = commandsFor('test/cluster/documents.scenario.ts').filter(ofHelm4);
    for (const { words } of named) {
      const [, verb = '', ...rest] = words;
      const { stdout } = await run(HELM_4, [verb, '--help']);
      for (const flag of rest.filter(word => word.startsWith('--')))
        assert.ok(stdout.includes(flag.split('=', 1)[0] ?? ''), flag);
    }
  });
});

/** Runs a tunnel until something answers by HTTP at its end. The port of this machine may be somebody's here. */
async function forwarded(line: string, shell: Shell): Promise<void> {
  const port = await freePort();
  const typed = line.replace(/ (?:\d+:)?(\d+)$/, ` ${port}:$1`);
  const child = spawn('bash', ['-c', `exec ${typed}`], { cwd: shell.folder, env: shell.env, stdio: 'ignore' });
  const closed = once(child, 'close');
  try {
    // An inbox with a token asks for it.
    await eventually(async () => (await fetch(`http://127.0.0.1:${port}/`)).status < 500, 60_000);
  } finally {
    child.kill();
    await closed;
  }
}

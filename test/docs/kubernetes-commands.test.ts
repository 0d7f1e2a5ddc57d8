import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { CRD_MODULES, customResourceFiles } from '../../tools/chart/go-modules.ts';
import { K8S_TOOLS, needs } from '../support/needs.ts';
import { startApiServer } from './api-server.ts';
import { ROOT, readDocuments } from './documents.ts';
import { paste, programs } from './shell.ts';
import { commandsFor, type Found, linesFor } from './who-runs.ts';

/*
 * What the documents have one type at a cluster, pasted as it stands: Helm and kubectl speak to a real API server, which takes the
 * objects and checks them, and has nobody who runs them. What needs pods is run by test/cluster/documents.scenario.ts.
 */

const CHART = 'charts/opensend-smtp-relay';
const DOCUMENT =
  'apiVersion: relay.opensend.dev/v1alpha1\nkind: SendingDomain\nmetadata:\n  name: acme\nspec:\n  owner: acme\n  name: acme.com\n';
/** Hooks are jobs that nobody runs here. */
const WITHOUT_PODS = '$& --no-hooks';
const own = linesFor('test/docs/kubernetes-commands.test.ts');
const documents = await readDocuments();

/** A command that names what it is about, and leaves nothing to be filled in. */
const isWhole = ({ isBlock, line }: Found) =>
  isBlock || (/^kubectl (?:create|get) \w/.test(line) && !/[…<]/.test(line));

/** The values file that a document shows; where it shows none, one of the chart's own. */
async function valuesOf(name: string): Promise<string> {
  const text = documents.find(document => document.name === name)?.text ?? '';
  const [, shown] = /^```yaml\n(# values\.yaml\n[\s\S]*?)^```$/m.exec(text) ?? [];
  return shown ?? (await readFile(join(ROOT, CHART, 'ci/standalone-values.yaml'), 'utf8'));
}

for (const [name, found] of Map.groupBy(own.filter(isWhole), ({ document }) => document)) {
  describe(`at a cluster, by ${name}`, { skip: needs('helm', 'kubernetes', 'go'), concurrency: 1 }, () => {
    const parts = new AsyncDisposableStack();
    const t = { after: (fn: () => Promise<void>) => parts.defer(fn) };
    let folder: string;
    let env: Record<string, string>;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'smtp-relay-cluster-'));
      parts.defer(() => rm(folder, { recursive: true, force: true }));
      env = { KUBECONFIG: await startApiServer(t), PATH: await programs(folder, [K8S_TOOLS]) };
      await symlink(join(ROOT, 'charts'), join(folder, 'charts'));
      await writeFile(join(folder, 'values.yaml'), await valuesOf(name));
      await mkdir(join(folder, 'mail'));
      await writeFile(join(folder, 'mail/acme.yaml'), DOCUMENT);
      const definitions = CRD_MODULES.filter(({ module }) => /cert-manager|prometheus/.test(module)).flatMap(
        customResourceFiles,
      );
      const files = definitions.map(file => `-f '${file}'`).join(' ');
      const made = await paste(`kubectl create ${files} && kubectl wait --for=condition=Established crd --all`, {
        folder,
        env,
      });
      assert.equal(made.code, 0, made.stderr);
      if (!found.some(({ line }) => line.includes('--create-namespace'))) {
        assert.equal((await paste('kubectl create namespace mail', { folder, env })).code, 0);
      }
    });
    after(() => parts.disposeAsync());

    for (const { line } of found) {
      it(line, async () => {
        const typed = line.replaceAll(/oci:\/\/\S+\/(charts\/)/g, '$1').replace(/^helm install/, WITHOUT_PODS);
        const { code, stdout, stderr } = await paste(`set -o pipefail; ${typed}`, { folder, env });
        assert.equal(code, 0, stderr);
        assert.doesNotMatch(stderr, /Warning|deprecated/);
        assert.notEqual(`${stdout}${stderr}`, '');
      });
    }

    it('and what it names is there', async () => {
      const named = commandsFor('test/cluster/documents.scenario.ts').filter(({ document }) => document === name);
      for (const { line } of named) {
        const [, object] = / ((?:deploy|deployment)\/[\w-]+)/.exec(line) ?? [];
        if (object === undefined) continue;
        const { code, stderr } = await paste(`kubectl -n mail get ${object}`, { folder, env });
        assert.equal(code, 0, stderr);
      }
    });
  });
}

describe('commands of a cluster that are named', { skip: needs('helm', 'kubernetes') }, () => {
  for (const { document, text, words } of commandsFor('test/docs/kubernetes-commands.test.ts').filter(
    one => !isWhole(one),
  )) {
    it(`${document}: ${text}`, async () => {
      const [program = '', ...args] = words;
      const end = args.findIndex(word => !/^[a-z]+$/.test(word));
      const verbs = args
        .slice(0, end === -1 ? 2 : Math.min(end, 2))
        .filter((_, index) => index === 0 || program === 'kubectl');
      const { stdout } = await promisify(execFile)(join(K8S_TOOLS, program), [...verbs, '--help']);
      for (const flag of args.filter(word => word.startsWith('--')).map(word => word.split('=', 1)[0] as string)) {
        assert.ok(stdout.includes(flag), `${flag} is not in its --help`);
      }
      assert.match(stdout, new RegExp(`\\b${program} (?:\\[.*\\] )?${verbs[0] ?? ''}`));
    });
  }
});

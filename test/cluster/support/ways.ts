import { access } from 'node:fs/promises';
import { env } from 'node:process';
import { fileURLToPath } from 'node:url';
import { HELM, kubectl, type Output, run } from './commands.ts';
import { IMAGE_VALUES } from './images.ts';
import { CHART, type Values } from './release.ts';

export type { Values };

/** A way of putting the chart into a cluster. */
export interface Way {
  readonly name: string;
  /** Part of a namespace's name. */
  readonly id: string;
  /** Why it cannot be tried here; false where it can. */
  readonly missing: string | false;
  /** Whether what a manifest no longer has goes. */
  readonly prunes: boolean;
  /** Returns when the pods are ready. */
  apply(namespace: string, values: Values): Promise<void>;
  /** `helm test`, where it is Helm's. @throws Error with its logs */
  test?(namespace: string): Promise<void>;
  /** To a revision, where it is Helm's. Returns when the pods are ready. */
  rollback?(namespace: string, revision: number): Promise<void>;
  remove(namespace: string): Promise<void>;
}

const RELEASE = 'demo';
const { HELM_3 = HELM, HELM_4 = fileURLToPath(new URL('../../../.cache/k8s-tools/bin/helm4', import.meta.url)) } = env;
const LIMIT = 300_000;
/** Helm's own deadline is for its last step; the jobs before it have theirs. */
const HELM_LIMIT = 2 * LIMIT;

const input = (values: Values) => JSON.stringify({ ...IMAGE_VALUES, ...values });

function byHelm(program: string, version: number, missing: string | false): Way {
  return {
    name: `Helm ${version}`,
    id: `helm${version}`,
    missing,
    prunes: true,
    async apply(namespace, values) {
      const flags = ['upgrade', '--install', RELEASE, CHART, '--wait', '--timeout', '5m', '--values', '-'];
      await run(program, ['-n', namespace, ...flags], { input: input(values), timeout: HELM_LIMIT });
      await ready(namespace);
    },
    async test(namespace) {
      const args = ['-n', namespace, 'test', RELEASE, '--logs', '--timeout', '5m'];
      await run(program, args, { timeout: HELM_LIMIT }).catch((error: Error & Output) => {
        throw new Error(`${error.message}\n${error.stdout}`);
      });
    },
    async rollback(namespace, revision) {
      const args = ['-n', namespace, 'rollback', RELEASE, String(revision), '--wait', '--timeout', '5m'];
      await run(program, args, { timeout: HELM_LIMIT });
      await ready(namespace);
    },
    remove: async namespace => void (await run(program, ['-n', namespace, 'uninstall', RELEASE, '--wait'])),
  };
}

/** @param flags of `kubectl apply` */
function byKubectl(id: string, flags: readonly string[]): Way {
  return {
    name: ['helm template --dry-run=server | kubectl apply', ...flags].join(' '),
    id,
    missing: false,
    prunes: false,
    async apply(namespace, values) {
      const template = [
        '-n',
        namespace,
        'template',
        RELEASE,
        CHART,
        '--dry-run=server',
        '--skip-tests',
        '--values',
        '-',
      ];
      const { stdout } = await run(HELM_3, template, { input: input(values) });
      await kubectl(['-n', namespace, 'apply', ...flags, '-f', '-'], { input: stdout });
      await ready(namespace);
    },
    // It goes with its namespace.
    remove: async () => {},
  };
}

async function ready(namespace: string): Promise<void> {
  await kubectl(['-n', namespace, 'rollout', 'status', 'deployment', `--timeout=${LIMIT / 1_000}s`], {
    timeout: LIMIT,
  });
}

const hasHelm4 = await access(HELM_4).then(
  () => true,
  () => false,
);

export const WAYS: readonly Way[] = [
  byHelm(HELM_3, 3, false),
  byHelm(HELM_4, 4, hasHelm4 ? false : 'there is no Helm 4: make k8s-tools, or HELM_4 that names it'),
  byKubectl('kubectl', []),
  byKubectl('server', ['--server-side']),
];

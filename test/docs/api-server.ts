import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../dev/ports.ts';
import { eventually } from '../support/eventually.ts';
import { K8S_TOOLS } from '../support/needs.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

const TOKEN = 'a-token-for-this-run';
/** Milliseconds. */
const PATIENCE = 120_000;

/**
 * Starts a Kubernetes API server with its store, as Kubernetes makes them. It takes objects, checks and keeps them; nothing runs
 * what they ask for. Stopped when the test ends.
 *
 * @returns the path of a kubeconfig
 */
export async function startApiServer(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'smtp-relay-api-server-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [port, etcdPort, peerPort] = [await freePort(), await freePort(), await freePort()];
  const etcd = `http://127.0.0.1:${etcdPort}`;
  const peers = `http://127.0.0.1:${peerPort}`;
  run(t, 'etcd', [
    `--data-dir=${join(folder, 'etcd')}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=${etcd}`,
    `--advertise-client-urls=${etcd}`,
    `--listen-peer-urls=${peers}`,
    `--initial-advertise-peer-urls=${peers}`,
    `--initial-cluster=default=${peers}`,
  ]);
  const key = join(folder, 'service-accounts.key');
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(key, privateKey.export({ type: 'pkcs1', format: 'pem' }));
  await writeFile(join(folder, 'tokens'), `${TOKEN},admin,admin,system:masters\n`);
  run(t, 'kube-apiserver', [
    `--etcd-servers=${etcd}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${join(folder, 'certificates')}`,
    `--token-auth-file=${join(folder, 'tokens')}`,
    '--authorization-mode=RBAC',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-signing-key-file=${key}`,
    `--service-account-key-file=${key}`,
  ]);
  const kubeconfig = join(folder, 'kubeconfig');
  await writeFile(kubeconfig, JSON.stringify(configOf(`https://127.0.0.1:${port}`)));
  await eventually(() => answers(kubeconfig), PATIENCE);
  return kubeconfig;
}

function run(t: TestContext, program: string, args: readonly string[]): void {
  const child: ChildProcess = spawn(join(K8S_TOOLS, program), args, { stdio: 'ignore' });
  const closed = once(child, 'close');
  t.after(async () => {
    child.kill('SIGKILL');
    await closed;
  });
}

async function answers(kubeconfig: string): Promise<boolean> {
  const args = ['--kubeconfig', kubeconfig, 'get', 'namespace', 'default'];
  const [code] = await once(spawn(join(K8S_TOOLS, 'kubectl'), args, { stdio: 'ignore' }), 'close');
  return code === 0;
}

function configOf(server: string): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'this',
    clusters: [{ name: 'this', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'admin', user: { token: TOKEN } }],
    contexts: [{ name: 'this', context: { cluster: 'this', user: 'admin' } }],
  };
}

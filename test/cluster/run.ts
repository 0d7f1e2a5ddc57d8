import { spawn } from 'node:child_process';
import { argv, execPath } from 'node:process';

/*
 * make test-cluster [ARGS=test/cluster/demo.scenario.ts]
 *
 * The chart on the cluster of KUBECONFIG, one scenario after the other. Needs kubectl and Helm (or KUBECTL and HELM that name
 * them), load balancer addresses that this machine reaches, and the images of `make image-test` in the cluster: IMAGE names the
 * relay's. What needs cert-manager, KEDA or the metrics server is skipped by name where they are not installed.
 */
const ALL = 'test/cluster/*.scenario.ts';
const LIMIT_MS = 1_500_000;

const given = argv.slice(2);
const files = given.some(argument => !argument.startsWith('-')) ? [] : [ALL];
// What a scenario counts is worth seeing: the reporter prints it.
const flags = ['--test', '--test-concurrency=1', '--test-reporter=spec', `--test-timeout=${LIMIT_MS}`];
const child = spawn(execPath, [...flags, ...given, ...files], { stdio: 'inherit' });
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.on('exit', code => {
  process.exitCode = code ?? 1;
});

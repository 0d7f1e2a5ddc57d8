import { get, kubectl, kubectlSays } from './commands.ts';
import { TEST_IMAGE } from './images.ts';

const LISTEN = `
  for (const port of process.argv.slice(1)) require("node:net").createServer(one => one.end()).listen(port);
  setInterval(() => {}, 60_000);`;
/** What connects says so; what is refused, or answered by nobody, does not. Milliseconds to wait: packets may be dropped unanswered. */
const CONNECT = `
  const [host, port] = process.argv.slice(1);
  const socket = require("node:net").connect({ host, port, timeout: 4000 });
  const end = text => { console.log(text); process.exit(); };
  socket.on("connect", () => end("open")).on("timeout", () => end("shut: no answer")).on("error", error => end("shut: " + error.code));`;

/** A pod beside the relay, in a namespace of its own: it listens, and connections are tried from it. */
export interface Bystander {
  /** Of the pod. */
  readonly address: string;
  /** Whether a connection comes about. */
  reaches(host: string, port: number): Promise<boolean>;
}

/** Starts one. Its namespace is there already. @param ports on which it listens */
export async function startBystander(namespace: string, name: string, ports: readonly number[]): Promise<Bystander> {
  const container = {
    name,
    image: TEST_IMAGE,
    imagePullPolicy: 'IfNotPresent',
    args: ['-e', LISTEN, '--', ...ports.map(String)],
  };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app: name } },
    spec: { containers: [container], terminationGracePeriodSeconds: 0, enableServiceLinks: false },
  };
  await kubectl(['-n', namespace, 'apply', '-f', '-'], { input: JSON.stringify(pod) });
  await kubectl(['-n', namespace, 'wait', `pod/${name}`, '--for=condition=Ready', '--timeout=120s']);
  const { status } = await get([`pod/${name}`, '-n', namespace]);
  return { address: status.podIP, reaches: (host, port) => reachesFrom(namespace, name, host, port) };
}

/** Whether a connection from a pod comes about. */
export async function reachesFrom(namespace: string, pod: string, host: string, port: number): Promise<boolean> {
  const said = await kubectlSays(['-n', namespace, 'exec', pod, '--', 'node', '-e', CONNECT, '--', host, String(port)]);
  if (!/^(open|shut)/m.test(said)) throw new Error(`${pod} tried nothing: ${said}`);
  return /^open/m.test(said);
}

import { join } from 'node:path';
import { startWorker } from '../../../bench/processes/worker.ts';
import { startRelay } from '../../../bench/support/relay.ts';
import type { Stage, System } from '../../../bench/support/system.ts';
import { freePort } from '../../../dev/ports.ts';
import type { Target } from './prometheus.ts';

export interface PodsOptions {
  readonly system: System;
  readonly stage: Stage;
  readonly ses: { readonly endpoint: string };
  readonly eventsQueueUrl: string;
  /** Settings of all workers. */
  readonly workerEnv: NodeJS.ProcessEnv;
  readonly directory: string;
}

/** Relays and workers, each a process of its own, and what Kubernetes would call them. */
export interface Pods {
  /** Ports of the relays. */
  readonly relays: readonly number[];
  /** Ports of the workers' public listeners. */
  readonly workers: readonly number[];
  readonly targets: readonly Target[];
  stop(): Promise<void>;
}

const NAMESPACE = 'post';
const RELAYS = ['mail-relay-6d8f7c9b54-k2xqz', 'mail-relay-6d8f7c9b54-v7t4n'];
const WORKERS = ['mail-worker-7f5b6d9c88-4hmzp', 'mail-worker-7f5b6d9c88-qw9rd'];
/** Messages that one key may send in a minute. */
const MESSAGES_PER_MINUTE = '1200';

export async function startPods(options: PodsOptions): Promise<Pods> {
  const started: { readonly port: number; readonly target: Target; stop(): Promise<void> }[] = [];
  const stop = async () => void (await Promise.all(started.map(pod => pod.stop())));
  try {
    for (const pod of RELAYS) started.push(await relay(options, pod));
    for (const pod of WORKERS) started.push(await worker(options, pod));
  } catch (error) {
    await stop();
    throw error;
  }
  const ports = started.map(({ port }) => port);
  return {
    relays: ports.slice(0, RELAYS.length),
    workers: ports.slice(RELAYS.length),
    targets: started.map(({ target }) => target),
    stop,
  };
}

async function relay({ system, stage, directory }: PodsOptions, pod: string) {
  const metrics = await freePort();
  const env = { ...operational(metrics), SMTP_RELAY_LIMITS_MESSAGES_PER_MINUTE: MESSAGES_PER_MINUTE };
  const { port, stop } = await startRelay({
    system,
    stage,
    pipeline: 'standalone',
    tls: true,
    directory: join(directory, pod),
    profile: false,
    env,
  });
  return { port, stop, target: targetOf(pod, metrics) };
}

async function worker(options: PodsOptions, pod: string) {
  const { system, stage, ses, eventsQueueUrl, workerEnv, directory } = options;
  const [metrics, port] = [await freePort(), await freePort()];
  const env = {
    ...operational(metrics),
    ...workerEnv,
    SMTP_RELAY_PUBLIC_HOST: '127.0.0.1',
    SMTP_RELAY_PUBLIC_PORT: String(port),
    SMTP_RELAY_EVENTS_QUEUE_URL: eventsQueueUrl,
    // What the account may do.
    SMTP_RELAY_SES_SEND_RATE: '0',
  };
  const { stop } = await startWorker({ system, stage, ses, directory: join(directory, pod), profile: false, env });
  return { port, stop, target: targetOf(pod, metrics) };
}

function operational(port: number) {
  return { SMTP_RELAY_HTTP_HOST: '127.0.0.1', SMTP_RELAY_HTTP_PORT: String(port) };
}

function targetOf(pod: string, port: number): Target {
  return { port, labels: { namespace: NAMESPACE, pod } };
}

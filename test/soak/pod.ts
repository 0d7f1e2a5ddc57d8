import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Stage, System } from '../../bench/support/system.ts';
import { MEMORY_ENVIRONMENT } from '../../bin/node24.js';
import { freePort } from '../../dev/ports.ts';
import { sqsEnvironment } from '../../dev/sqs.ts';

export interface PodOptions {
  readonly system: System;
  readonly stage: Stage;
  /** As the setting: `1s`. */
  readonly drainDelay: string;
  readonly logFile: string;
}

/** A relay process, as a pod runs it. */
export interface Pod {
  readonly port: number;
  /** Whether `/readyz` says so. */
  isReady(): Promise<boolean>;
  /** SIGTERM, and SIGKILL at the end of the grace period. */
  stop(): Promise<{ readonly code: number | null; readonly milliseconds: number }>;
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
/** Milliseconds, as in Kubernetes. */
const GRACE_PERIOD = 30_000;
const START_LIMIT = 60_000;
const HOST = '127.0.0.1';

/** Starts a relay and waits until it is ready. */
export async function startPod(options: PodOptions): Promise<Pod> {
  const [port, httpPort] = [await freePort(), await freePort()];
  const log = openSync(options.logFile, 'a');
  const env = environmentOf(options, port, httpPort);
  const child = spawn(process.execPath, [MAIN, 'relay'], { env, stdio: ['ignore', log, log] });
  const pod = { port, isReady: () => isReady(httpPort), stop: () => stop(child) };
  const deadline = performance.now() + START_LIMIT;
  while (!(await pod.isReady())) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await pod.stop();
      throw new Error(`a relay did not start; its log is ${options.logFile}`);
    }
    await sleep(50);
  }
  return pod;
}

async function isReady(httpPort: number): Promise<boolean> {
  const signal = AbortSignal.timeout(1_000);
  const answer = await fetch(`http://${HOST}:${httpPort}/readyz`, { signal }).catch(() => null);
  return answer?.status === 200;
}

async function stop(child: ChildProcess): Promise<{ code: number | null; milliseconds: number }> {
  const began = performance.now();
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const insist = setTimeout(() => child.kill('SIGKILL'), GRACE_PERIOD);
    await ended;
    clearTimeout(insist);
  }
  return { code: child.exitCode, milliseconds: performance.now() - began };
}

function environmentOf({ system, stage, drainDelay }: PodOptions, port: number, httpPort: number): NodeJS.ProcessEnv {
  return {
    ...MEMORY_ENVIRONMENT,
    ...process.env,
    ...sqsEnvironment(system.sqsEndpoint),
    DATABASE_URL: stage.databaseUrl,
    BACKGROUND_JOBS_QUEUE_URL: stage.queueUrl,
    SMTP_RELAY_HOST: HOST,
    SMTP_RELAY_PORT: String(port),
    SMTP_RELAY_HTTP_HOST: HOST,
    SMTP_RELAY_HTTP_PORT: String(httpPort),
    SMTP_RELAY_PIPELINE: 'standalone',
    SMTP_RELAY_TLS_CERT_PATH: system.tls.certPath,
    SMTP_RELAY_TLS_KEY_PATH: system.tls.keyPath,
    SMTP_RELAY_DRAIN_DELAY: drainDelay,
  };
}

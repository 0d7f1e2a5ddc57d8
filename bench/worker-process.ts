import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MEMORY_ENVIRONMENT } from '../bin/node24.js';
import { sqsEnvironment } from '../src/dev/sqs.ts';
import { CREDENTIALS } from '../test/support/ses/sigv4.ts';
import type { Stage } from './system.ts';
import { type Usage, watchUsage } from './usage.ts';

export interface WorkerOptions {
  readonly stage: Stage;
  readonly sqsEndpoint: string;
  readonly sesEndpoint: string;
  /** Its log goes here, and with `profile` its CPU profiles. */
  readonly directory: string;
  readonly profile: boolean;
  /** Settings over those of the bench. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface WorkerProcess {
  usage(): Usage;
  /** SIGTERM, and SIGKILL to one that does not heed it in time. */
  stop(): Promise<void>;
  /** SIGKILL, at whatever it is doing. */
  kill(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 40_000;

/** Starts `smtp-relay worker` in a process of its own. @throws Error with the end of its log when it does not start */
export async function startWorker(options: WorkerOptions): Promise<WorkerProcess> {
  await mkdir(options.directory, { recursive: true });
  const logFile = join(options.directory, 'worker.log');
  const log = createWriteStream(logFile);
  await once(log, 'open');
  const flags = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.directory}`] : [];
  const child = spawn(process.execPath, [...flags, MAIN, 'worker'], {
    env: environmentOf(options),
    stdio: ['ignore', log, log],
  });
  const exited = once(child, 'exit').finally(() => log.end());
  const running = () => child.exitCode === null && child.signalCode === null;
  const usage = watchUsage(child.pid as number);
  const stop = async () => {
    usage.stop();
    if (running()) child.kill('SIGTERM');
    const insist = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(insist);
  };
  const kill = async () => {
    usage.stop();
    child.kill('SIGKILL');
    await exited;
  };
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await readFile(logFile, 'utf8')).includes('"msg":"working"')) {
    if (running() && performance.now() < deadline) await sleep(10);
    else {
      await stop();
      throw new Error(`the worker did not start:\n${(await readFile(logFile, 'utf8')).slice(-2000)}`);
    }
  }
  return { usage: () => usage.read(), stop, kill };
}

function environmentOf({ stage, sqsEndpoint, sesEndpoint, env }: WorkerOptions): NodeJS.ProcessEnv {
  return {
    ...MEMORY_ENVIRONMENT,
    ...process.env,
    ...sqsEnvironment(sqsEndpoint),
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_ENDPOINT_URL_SESV2: sesEndpoint,
    DATABASE_URL: stage.databaseUrl,
    BACKGROUND_JOBS_QUEUE_URL: stage.queueUrl,
    SMTP_RELAY_HTTP_PORT: '0',
    SMTP_RELAY_PUBLIC_PORT: '0',
    SMTP_RELAY_PIPELINE: 'standalone',
    SMTP_RELAY_TRANSPORT: 'ses',
    SMTP_RELAY_SES_SEND_RATE: '100000',
    ...env,
  };
}

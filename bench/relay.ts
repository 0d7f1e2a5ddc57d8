import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MEMORY_ENVIRONMENT } from '../bin/node24.js';
import { freePort } from '../src/dev/ports.ts';
import { sqsEnvironment } from '../src/dev/sqs.ts';
import type { Pipeline } from '../src/store/pipeline.ts';
import type { Stage, System } from './system.ts';
import { type Usage, watchUsage } from './usage.ts';

export interface RelayOptions {
  readonly system: System;
  readonly stage: Stage;
  readonly pipeline: Pipeline;
  readonly tls: boolean;
  /** Its log goes here, and with `profile` its CPU profiles. */
  readonly directory: string;
  readonly profile: boolean;
  /** Settings over those of the bench. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface Relay {
  readonly port: number;
  usage(): Usage;
  /** SIGTERM, and SIGKILL to one that does not heed it in time. */
  stop(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 40_000;

/** Starts `smtp-relay relay` in a process of its own. @throws Error with the end of its log when it does not start */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  await mkdir(options.directory, { recursive: true });
  const port = await freePort();
  const logFile = join(options.directory, 'relay.log');
  const log = createWriteStream(logFile);
  await once(log, 'open');
  const flags = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.directory}`] : [];
  const env = relayEnvironment(options, port);
  const child = spawn(process.execPath, [...flags, MAIN, 'relay'], { env, stdio: ['ignore', log, log] });
  const exited = once(child, 'exit').finally(() => log.end());
  const running = () => child.exitCode === null && child.signalCode === null;
  const stop = async () => {
    usage.stop();
    if (running()) child.kill('SIGTERM');
    const insist = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(insist);
  };
  const usage = watchUsage(child.pid as number);
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await answers(port))) {
    if (running() && performance.now() < deadline) await sleep(50);
    else {
      await stop();
      throw new Error(`the relay did not start:\n${(await readFile(logFile, 'utf8')).slice(-2000)}`);
    }
  }
  return { port, usage: () => usage.read(), stop };
}

/** The settings of the calling environment reach the relay too, so that one can measure what they do. */
function relayEnvironment(options: RelayOptions, port: number): NodeJS.ProcessEnv {
  const { system, stage } = options;
  const tls = options.tls
    ? { SMTP_RELAY_TLS_CERT_PATH: system.tls.certPath, SMTP_RELAY_TLS_KEY_PATH: system.tls.keyPath }
    : {};
  return {
    ...MEMORY_ENVIRONMENT,
    ...process.env,
    ...sqsEnvironment(system.sqsEndpoint),
    ...tls,
    DATABASE_URL: stage.databaseUrl,
    BACKGROUND_JOBS_QUEUE_URL: stage.queueUrl,
    SMTP_RELAY_HOST: '127.0.0.1',
    SMTP_RELAY_PORT: String(port),
    SMTP_RELAY_HTTP_PORT: '0',
    SMTP_RELAY_PIPELINE: options.pipeline,
    ...options.env,
  };
}

async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'data', { signal: AbortSignal.timeout(2_000) });
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

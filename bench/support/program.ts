import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { MEMORY_ENVIRONMENT } from '../../bin/node24.js';
import { type Usage, watchUsage } from './usage.ts';

export interface ProgramOptions {
  /** Another checkout's `src/main.ts`; this one's unless given. */
  readonly main?: string;
  readonly command: 'relay' | 'worker';
  /** Its log goes here, and with `profile` its CPU profiles. */
  readonly directory: string;
  readonly profile: boolean;
  /** Over the environment of the bench, so that one can measure what settings do. */
  readonly env: NodeJS.ProcessEnv;
  /** Whether it has begun its work. @param logFile what it has written so far */
  readonly isReady: (logFile: string) => Promise<boolean>;
}

export interface Program {
  usage(): Usage;
  /** SIGTERM, and SIGKILL to one that does not heed it in time. */
  stop(): Promise<void>;
  /** SIGKILL, at whatever it is doing. */
  kill(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 40_000;

/**
 * Starts `smtp-relay <command>` in a process of its own.
 *
 * @returns when it is ready
 * @throws Error with the end of its log when it does not start
 */
export async function startProgram(options: ProgramOptions): Promise<Program> {
  const { command, directory, env, isReady, main = MAIN, profile } = options;
  await mkdir(directory, { recursive: true });
  const logFile = join(directory, `${command}.log`);
  const log = createWriteStream(logFile);
  await once(log, 'open');
  const flags = profile ? ['--cpu-prof', `--cpu-prof-dir=${directory}`] : [];
  const child = spawn(process.execPath, [...flags, main, command], {
    env: { ...MEMORY_ENVIRONMENT, ...process.env, ...env },
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
  while (!(await isReady(logFile))) {
    if (running() && performance.now() < deadline) await sleep(20);
    else {
      await stop();
      throw new Error(`the ${command} did not start:\n${(await readFile(logFile, 'utf8')).slice(-2000)}`);
    }
  }
  return { usage: () => usage.read(), stop, kill };
}

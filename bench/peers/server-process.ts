import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { greets } from '../support/relay.ts';

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;

/**
 * Starts another's server, its output in a file.
 *
 * @param port of 127.0.0.1, at which it greets when it is ready
 * @throws Error with the end of its log when it does not start
 */
export async function startServer(
  [command, ...args]: readonly [string, ...string[]],
  { port, logFile, ...options }: SpawnOptions & { readonly port: number; readonly logFile: string },
): Promise<ChildProcess> {
  const log = createWriteStream(logFile);
  await once(log, 'open');
  const child = spawn(command, args, { ...options, stdio: ['ignore', log, log] });
  const exited = once(child, 'exit').finally(() => log.end());
  const deadline = performance.now() + START_LIMIT_MS;
  while (!(await greets(port))) {
    if (child.exitCode === null && performance.now() < deadline) await sleep(50);
    else {
      await stopServer(child);
      await exited;
      throw new Error(`${command} did not start:\n${(await readFile(logFile, 'utf8')).slice(-2000)}`);
    }
  }
  return child;
}

/** SIGTERM, and SIGKILL to one that does not heed it in time. */
export async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const insist = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS);
  await exited;
  clearTimeout(insist);
}

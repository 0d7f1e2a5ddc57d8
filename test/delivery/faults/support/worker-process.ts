import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { execPath } from 'node:process';
import { createInterface } from 'node:readline';
import { MAIN } from '../../../cli/run-cli.ts';
import { CHILD_ENVIRONMENT } from '../../../support/environment.ts';
import type { LogLine, TestContext } from '../../../support/relay.ts';

export interface WorkerProcess {
  readonly child: ChildProcess;
  readonly logs: readonly LogLine[];
  /** Waits until it works. @throws Error with its output when it ends before */
  working(): Promise<WorkerProcess>;
  /** Signals it, waits for its end. @returns exit code, null after a signal */
  end(signal: NodeJS.Signals): Promise<number | null>;
  readonly ended: Promise<number | null>;
}

/** Runs `smtp-relay worker` as a process, with nothing in its environment but what is given. Killed after the test. */
export function spawnWorker(t: TestContext, env: Readonly<Record<string, string>>): WorkerProcess {
  const child = spawn(execPath, [MAIN, 'worker'], {
    env: { ...CHILD_ENVIRONMENT, SMTP_RELAY_HTTP_PORT: '0', SMTP_RELAY_PUBLIC_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const logs: LogLine[] = [];
  let errors = '';
  const works = Promise.withResolvers<void>();
  createInterface(child.stdout).on('line', line => {
    const entry = JSON.parse(line) as LogLine;
    logs.push(entry);
    if (entry.msg === 'working') works.resolve();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const ended = once(child, 'close').then(() => child.exitCode);
  void ended.then(code => {
    works.reject(new Error(`the worker ended with ${code}: ${errors} ${logs.map(({ msg }) => msg).join('; ')}`));
  });
  works.promise.catch(() => {});
  const end = (signal: NodeJS.Signals) => {
    child.kill(signal);
    return ended;
  };
  t.after(async () => void (await end('SIGKILL')));
  const worker = { child, logs, end, ended, working: async () => works.promise.then(() => worker) };
  return worker;
}

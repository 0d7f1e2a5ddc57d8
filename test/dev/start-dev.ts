import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../dev/ports.ts';

const PROGRAM = fileURLToPath(new URL('./dev-process.ts', import.meta.url));
const LIMIT_MS = 120_000;

export interface DevProcess {
  readonly child: ChildProcess;
  /** All that it has written. */
  readonly output: () => string;
  /** Waits for a text of its output. @throws Error with the output when it ends, or two minutes pass, before */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
  /** Ends it. @returns the exit code */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export const PORT_VARIABLES = [
  'SMTP_RELAY_PORT',
  'SMTP_RELAY_PUBLIC_PORT',
  'SMTP_RELAY_HTTP_PORT',
  'SMTP_RELAY_INBOX_PORT',
  'DEV_POSTGRES_PORT',
  'DEV_SQS_PORT',
] as const;

export type DevVariables = Record<(typeof PORT_VARIABLES)[number], string>;

export async function freePorts(): Promise<DevVariables> {
  const ports = await Promise.all(PORT_VARIABLES.map(async name => [name, `${await freePort()}`]));
  return Object.fromEntries(ports) as DevVariables;
}

/** A folder for the state of dev, removed afterwards together with the one elsewhere that it may name. */
export async function stateDirectory(t: TestContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'smtp-relay-dev-'));
  t.after(() => rm(parent, { recursive: true, force: true }));
  return join(parent, '.dev');
}

/** Starts dev in a process group of its own, as a shell with a terminal would. */
export function startDev(t: TestContext, directory: string, variables: Readonly<Record<string, string>>): DevProcess {
  const child = spawn(execPath, [PROGRAM, 'dev', directory], {
    env: { ...env, ...variables },
    detached: true,
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
  }
  const gone = once(child, 'close');
  const isGone = () => child.exitCode !== null || child.signalCode !== null;
  const dev: DevProcess = {
    child,
    output: () => text,
    waitFor: async pattern => {
      const deadline = AbortSignal.timeout(LIMIT_MS);
      for (;;) {
        const match = pattern.exec(text);
        if (match) return match;
        if (isGone() || deadline.aborted) throw new Error(`no ${pattern} in:\n${text}`);
        await Promise.race([once(child.stdout, 'data', { signal: deadline }), gone]).catch(() => {});
      }
    },
    end: async signal => {
      if (!isGone() && child.pid) process.kill(-child.pid, signal);
      await gone;
      return child.exitCode;
    },
  };
  t.after(async () => void (await dev.end('SIGTERM')));
  return dev;
}

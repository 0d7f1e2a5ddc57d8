import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../src/dev/ports.ts';

const PROGRAM = fileURLToPath(new URL('./dev-process.ts', import.meta.url));
const LIMIT_MS = 60_000;

export interface DevProcess {
  readonly child: ChildProcess;
  /** All that it has written. */
  readonly output: () => string;
  /** Waits for a text of its output. @throws Error with the output when it ends, or 60 s pass, before */
  waitFor(pattern: RegExp): Promise<RegExpExecArray>;
  /** Ends it. @returns the exit code */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export type DevVariables = Record<'SMTP_RELAY_PORT' | 'DEV_POSTGRES_PORT' | 'DEV_SQS_PORT', string>;

export async function freePorts(): Promise<DevVariables> {
  const [relay, postgres, sqs] = await Promise.all([freePort(), freePort(), freePort()]);
  return { SMTP_RELAY_PORT: `${relay}`, DEV_POSTGRES_PORT: `${postgres}`, DEV_SQS_PORT: `${sqs}` };
}

/** A folder for the state of dev, removed afterwards together with the one elsewhere that it may name. */
export async function stateDirectory(t: TestContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'smtp-relay-dev-'));
  t.after(() => rm(parent, { recursive: true, force: true }));
  return join(parent, '.dev');
}

/** Starts dev in a process group of its own, as a shell with a terminal would. */
export function startDev(t: TestContext, directory: string, variables: Partial<DevVariables>): DevProcess {
  const child = spawn(execPath, [PROGRAM, 'dev', directory], {
    env: { ...env, SMTP_RELAY_HTTP_PORT: '0', SMTP_RELAY_PUBLIC_PORT: '0', ...variables },
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

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { execPath } from 'node:process';
import { MAIN } from '../../cli/run-cli.ts';
import { CHILD_ENVIRONMENT } from '../../support/environment.ts';
import type { LogLine, TestContext } from '../../support/relay.ts';

export interface RelayProcess {
  readonly child: ChildProcess;
  readonly host: string;
  /** Once `listening`. */
  readonly port: number;
  /** No TLS. */
  readonly ca: string;
  readonly logs: readonly LogLine[];
  /** Waits for it to listen. @throws Error with its output when it ends before */
  listening(): Promise<RelayProcess>;
  /** Signals it, waits for its end. @returns exit code, null after a signal */
  end(signal: NodeJS.Signals): Promise<number | null>;
  readonly ended: Promise<number | null>;
}

const HOST = '127.0.0.1';

/**
 * Runs `smtp-relay relay` as a process, with nothing in its environment but what is given. No operational listener unless
 * asked for. Killed after the test.
 */
export function spawnRelay(t: TestContext, env: Readonly<Record<string, string>>): RelayProcess {
  const child = spawn(execPath, [MAIN, 'relay'], {
    env: { ...CHILD_ENVIRONMENT, SMTP_RELAY_HTTP_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const logs: LogLine[] = [];
  let output = '';
  let rest = '';
  const started = Promise.withResolvers<void>();
  let port = 0;

  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const entry = JSON.parse(line) as LogLine;
      logs.push(entry);
      if (entry.msg !== 'listening') continue;
      port = Number(entry['port']);
      started.resolve();
    }
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const ended = once(child, 'close').then(() => child.exitCode);
  void ended.then(code => started.reject(new Error(`the relay ended with ${code}: ${output}`)));
  started.promise.catch(() => {});

  async function end(signal: NodeJS.Signals): Promise<number | null> {
    child.kill(signal);
    return ended;
  }
  t.after(async () => void (await end('SIGKILL')));

  const relay: RelayProcess = {
    child,
    host: HOST,
    get port() {
      return port;
    },
    ca: '',
    logs,
    listening: async () => {
      await started.promise;
      return relay;
    },
    end,
    ended,
  };
  return relay;
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ReceivedNote } from '../../test/support/ses/mailbox.ts';
import { type Usage, watchUsage } from '../support/usage.ts';

/** The SES double in a process of its own. */
export interface SesProcess {
  readonly endpoint: string;
  count(): Promise<number>;
  /** One entry a message, in the order of their arrival. */
  notes(): Promise<readonly ReceivedNote[]>;
  usage(): Usage;
  stop(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../../test/support/ses/main.ts', import.meta.url));

export async function startSes(): Promise<SesProcess> {
  // It shares the machine with what is measured, and reading each message would take more of it than a worker does.
  const options = JSON.stringify({ strict: false });
  const child = spawn(process.execPath, [MAIN, options], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  const { endpoint } = JSON.parse(line) as { endpoint: string };
  const usage = watchUsage(child.pid as number);
  const ask = async (path: string) => (await fetch(`${endpoint}/_control/${path}`)).json();
  return {
    endpoint,
    count: async () => ((await ask('counts')) as { messages: number }).messages,
    notes: async () => ((await ask('notes')) as { notes: ReceivedNote[] }).notes,
    usage: () => usage.read(),
    stop: async () => {
      usage.stop();
      child.stdin.end();
      await exited;
    },
  };
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { MOTO_SERVER } from './needs.ts';

const LISTENING = /Running on (http:\/\/127\.0\.0\.1:\d+)/;

interface TestContext {
  after(fn: () => Promise<void> | void): void;
}

/** Starts moto's server on a free port. @returns its endpoint */
export async function startMoto(t: TestContext): Promise<string> {
  const moto = spawn(MOTO_SERVER, ['-H', '127.0.0.1', '-p', '0'], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(moto, 'exit');
  t.after(async () => {
    moto.kill();
    await exited;
  });
  for await (const line of createInterface(moto.stderr)) {
    const endpoint = LISTENING.exec(line)?.[1];
    if (endpoint) {
      moto.stderr.resume();
      return endpoint;
    }
  }
  throw new Error('moto did not start');
}

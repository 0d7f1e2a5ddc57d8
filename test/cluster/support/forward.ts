import { type ChildProcess, spawn } from 'node:child_process';
import { env } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../dev/ports.ts';

const { KUBECTL = 'kubectl' } = env;

/** `kubectl port-forward` to a Service, started again whenever it ends, as it does when its pod goes. */
export class Forward {
  readonly #child: { current?: ChildProcess } = {};
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  /** Of 127.0.0.1. */
  readonly port: number;

  private constructor(port: number) {
    this.port = port;
  }

  static async open(namespace: string, service: string, remotePort: number): Promise<Forward> {
    const forward = new Forward(await freePort());
    forward.#running = forward.#keep([
      '-n',
      namespace,
      'port-forward',
      `service/${service}`,
      `${forward.port}:${remotePort}`,
    ]);
    return forward;
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#child.current?.kill();
    await this.#running;
  }

  async #keep(args: readonly string[]): Promise<void> {
    while (!this.#stopped) {
      const child = spawn(KUBECTL, args, { stdio: 'ignore' });
      this.#child.current = child;
      await new Promise<void>(resolve => child.once('close', () => resolve()).once('error', () => resolve()));
      if (!this.#stopped) await sleep(250);
    }
  }
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { FakeSes, type FakeSesOptions } from './server.ts';
import { CREDENTIALS } from './sigv4.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

/** A fake SES in the test's own process, closed afterwards. */
export async function startFakeSes(t: TestContext, options: FakeSesOptions = {}): Promise<FakeSes> {
  const ses = new FakeSes(options);
  await ses.listen(options.port);
  t.after(() => ses.close());
  return ses;
}

export interface FakeSesProcess {
  readonly endpoint: string;
  readonly pid: number;
  /** Calls `/_control/<name>` (main.ts). */
  control<T = object>(name: string, body?: object): Promise<T>;
  stop(): Promise<void>;
}

/** A fake SES in a process of its own, for load and for tests that kill the worker. The caller stops it. */
export async function spawnFakeSes(options: FakeSesOptions = {}): Promise<FakeSesProcess> {
  const child = spawn(process.execPath, [MAIN, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const ready = once(createInterface(child.stdout), 'line') as Promise<[string]>;
  const line = await Promise.race([ready.then(([text]) => text), exited.then(() => null)]);
  if (line === null) throw new Error('the fake SES did not start');
  const { endpoint } = JSON.parse(line) as { endpoint: string };
  return {
    endpoint,
    pid: child.pid as number,
    async control<T>(name: string, body?: object) {
      const init = body ? { method: 'POST', body: JSON.stringify(body) } : {};
      const response = await fetch(`${endpoint}/_control/${name}`, init);
      if (!response.ok) throw new Error(`no control "${name}"`);
      return (await response.json()) as T;
    },
    async stop() {
      child.kill();
      await exited;
    },
  };
}

/** The environment with which the AWS SDK talks to that fake SES. */
export function sesEnv({ endpoint }: { readonly endpoint: string }) {
  return {
    AWS_ENDPOINT_URL_SESV2: endpoint,
    AWS_ENDPOINT_URL_STS: endpoint,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: 'us-east-1',
  } as const;
}

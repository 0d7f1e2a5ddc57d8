import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Above those of well-known services, below those that systems give to whoever asks for none of their own. */
const QUIET_PORTS = [10_000, 32_000] as const;

/** A TCP port of 127.0.0.1 that was free a moment ago, and that no program gets meanwhile which asks for any. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(...QUIET_PORTS);
    if (!(await portProblem(port))) return port;
  }
}

/** Why the port cannot be listened on (`EADDRINUSE`, `EACCES`, …), or undefined when it can. */
export async function portProblem(port: number, host = '127.0.0.1'): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen(port, host);
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  } finally {
    if (server.listening) await new Promise(done => server.close(done));
  }
}
/** Defaults away from those of an installed Postgres and other emulators, so that they do not meet. */
const POSTGRES_PORT = 25432;
const SQS_PORT = 24566;

/** The ports of the embedded servers, all on 127.0.0.1. */
export interface DevPorts {
  readonly postgres: number;
  readonly sqs: number;
}

/** Reads DEV_POSTGRES_PORT and DEV_SQS_PORT. @throws Error naming the variable that is no port */
export function readPorts(env: NodeJS.ProcessEnv): DevPorts {
  return {
    postgres: readPort(env, 'DEV_POSTGRES_PORT', POSTGRES_PORT),
    sqs: readPort(env, 'DEV_SQS_PORT', SQS_PORT),
  };
}

function readPort(env: NodeJS.ProcessEnv, name: string, preset: number): number {
  const text = env[name]?.trim();
  if (!text) return preset;
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new Error(`${name} is "${text}", which is not a port: set it to a number from 1 to 65535.`);
}

/** A port that is to be listened on, and the variable that sets it. */
export interface NamedPort {
  readonly name: string;
  readonly port: number;
  readonly host?: string;
}

/** @throws Error with a line for each port that cannot be listened on, naming the variable to set */
export async function requireFreePorts(ports: readonly NamedPort[]): Promise<void> {
  const problems = await Promise.all(ports.map(describeProblem));
  const lines = problems.filter(problem => problem !== undefined);
  if (lines.length > 0) throw new Error(lines.join('\n'));
}

async function describeProblem({ name, port, host = '127.0.0.1' }: NamedPort): Promise<string | undefined> {
  const problem = await portProblem(port, host);
  if (!problem) return undefined;
  const reason: Record<string, string> = {
    EADDRINUSE: `port ${port} is taken by another program: stop that one, or set ${name} to another port`,
    EACCES: `this user may not listen on port ${port}: set ${name} to a port above 1023`,
    EADDRNOTAVAIL: `${host} is not an address of this machine: set ${name.replace('PORT', 'HOST')} to one that is`,
  };
  return `${reason[problem] ?? `cannot listen on ${host}:${port} (${problem}): set ${name} to another port`}.`;
}

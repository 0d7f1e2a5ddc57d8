import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Account } from './account.ts';
import { type Guard, guardPostgres } from './guard.ts';
import { commandLine, isAlive, waitForExit } from './processes.ts';
import type { PostgresPrograms } from './programs.ts';

interface Cluster {
  readonly programs: PostgresPrograms;
  readonly account: Account | undefined;
  readonly dataDirectory: string;
}

export interface Postmaster {
  /** SIGINT is Postgres' fast shutdown, SIGQUIT its immediate one (Postgres manual, 18.5). */
  stop(signal: 'SIGINT' | 'SIGQUIT'): Promise<void>;
}

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 20_000;
/** Locale and PG* variables of our own environment would change what the programs do or say. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/** Makes a cluster in the folder unless it holds one. @throws Error when that one is of another major version */
export async function initialiseCluster(cluster: Cluster & { passwordFile: string; user: string }): Promise<void> {
  const { account, dataDirectory, passwordFile, programs, user } = cluster;
  const present = (await readFile(join(dataDirectory, 'PG_VERSION'), 'utf8').catch(() => '')).trim();
  if (present) return await requireVersion(programs, present, dataDirectory);
  // What an interrupted initdb left behind would make the next one fail.
  await rm(dataDirectory, { recursive: true, force: true });
  const flags = [
    `--username=${user}`,
    `--pwfile=${passwordFile}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--locale=C',
  ];
  const program = join(programs.bin, 'initdb');
  const { code, output } = await run(
    program,
    [`--pgdata=${dataDirectory}`, '--no-sync', ...flags],
    account,
    dataDirectory,
  );
  if (code !== 0) throw new Error(`Postgres could not make its database files (initdb):\n${lastLines(output)}`);
}

async function requireVersion(programs: PostgresPrograms, present: string, dataDirectory: string): Promise<void> {
  const { output } = await run(join(programs.bin, 'postgres'), ['--version'], undefined, dataDirectory);
  const ours = /\(PostgreSQL\) (\d+)/.exec(output)?.[1];
  if (ours === present) return;
  throw new Error(
    `The data in ${dataDirectory} is of Postgres ${present}, but the program is ${ours ?? 'unknown'}: remove it.`,
  );
}

/** Runs one program to its end. Its working directory is one that the account can enter: initdb insists on that. */
async function run(program: string, args: string[], account: Account | undefined, dataDirectory: string) {
  const cwd = dirname(dataDirectory);
  const child = spawn(program, args, { ...account, cwd, env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const collect = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

/**
 * Starts the server and waits until it takes connections. It runs in a session of its own: Ctrl-C in a terminal reaches
 * us alone, and we stop it after its clients. Should we die without stopping it, the guard does.
 *
 * @throws Error with the last lines of its log when it does not start
 */
export async function launchPostmaster(
  options: Cluster & {
    logFile: string;
    port: number;
    settings: Readonly<Record<string, string>>;
    remove?: readonly string[];
  },
): Promise<Postmaster> {
  const { account, dataDirectory, logFile, port, programs, settings, remove } = options;
  const flags = Object.entries({ ...settings, port: String(port) }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const log = openSync(logFile, 'w', 0o600);
  const program = join(programs.bin, 'postgres');
  const child = spawn(program, ['-D', dataDirectory, ...flags], {
    ...account,
    cwd: dirname(dataDirectory),
    env: ENVIRONMENT,
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const exited = once(child, 'exit');
  // A server that ends on its own is seen by its exit code; the promise must not be unhandled meanwhile.
  exited.catch(() => {});
  child.unref();
  if (child.pid === undefined)
    throw new Error(`Postgres could not be run: ${program}`, { cause: await exited.catch(e => e) });
  const guard = guardPostgres(child.pid, dataDirectory, remove);
  try {
    await waitUntilReady(child, child.pid, dataDirectory);
  } catch {
    await stop(child, 'SIGQUIT', exited, guard);
    throw new Error(`Postgres did not start:\n${lastLines(await readFile(logFile, 'utf8'))}`);
  }
  return { stop: signal => stop(child, signal, exited, guard) };
}

/** The eighth line of postmaster.pid tells the state: `ready` once connections are accepted. */
async function waitUntilReady(child: ChildProcess, pid: number, dataDirectory: string): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS;
  while (child.exitCode === null && child.signalCode === null && performance.now() < deadline) {
    const lines = await readPidFile(dataDirectory);
    if (lines[0] === String(pid) && lines[7] === 'ready') return;
    await sleep(20);
  }
  throw new Error('not ready');
}

async function stop(
  child: ChildProcess,
  signal: NodeJS.Signals,
  exited: Promise<unknown>,
  guard: Guard,
): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    child.ref();
    child.kill(signal);
    const insist = setTimeout(() => child.kill('SIGQUIT'), STOP_LIMIT_MS);
    await exited;
    clearTimeout(insist);
  }
  await guard.release();
}

/**
 * Stops a server that an earlier process left running on this data, and removes a postmaster.pid whose process id belongs to
 * something else by now (Postgres would refuse to start).
 */
export async function stopOrphan(dataDirectory: string): Promise<void> {
  const pid = Number((await readPidFile(dataDirectory))[0]);
  if (!Number.isInteger(pid) || pid <= 1) return;
  if (isAlive(pid) && commandLine(pid)?.includes(dataDirectory)) {
    for (const [signal, limit] of [
      ['SIGINT', STOP_LIMIT_MS],
      ['SIGQUIT', STOP_LIMIT_MS],
    ] as const) {
      process.kill(pid, signal);
      if (await waitForExit(pid, limit)) return;
    }
    throw new Error(`A Postgres of an earlier run (process ${pid}) does not stop: end it with "kill -QUIT ${pid}".`);
  }
  await rm(join(dataDirectory, 'postmaster.pid'), { force: true });
}

async function readPidFile(dataDirectory: string): Promise<string[]> {
  const text = await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8').catch(() => '');
  return text.split('\n').map(line => line.trim());
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-10).join('\n');
}

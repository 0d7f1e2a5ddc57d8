import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Account, giveTree, postgresAccount } from './account.ts';
import { initialiseCluster, stopOrphan } from './postmaster.ts';
import { embeddedPrograms, type PostgresPrograms } from './programs.ts';

export interface DemoPostgresOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Ends it. */
  readonly signal: AbortSignal;
}

interface Server {
  readonly programs: PostgresPrograms;
  readonly account: Account | undefined;
  /** Holds the data and what Postgres reads beside it; Postgres' working directory. */
  readonly directory: string;
  readonly dataDirectory: string;
}

const USER = 'postgres';
const PORT = '5432';
/** Any client, with its password: initdb's own rules let in nobody from elsewhere. */
const ACCESS_RULES = 'host all all all scram-sha-256\n';
/** Nothing of our own environment may change what Postgres does. */
const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/**
 * Runs the embedded Postgres as a container's only server, until the signal: on every address, user and database `postgres`.
 * `DEMO_POSTGRES_DIRECTORY` keeps the data; `DEMO_POSTGRES_PASSWORD` is the password from this start on, also where the data
 * is older; `DEMO_POSTGRES_PORT` is the port, 5432 unless set. Postgres' log goes to our standard error. For demonstrations:
 * it has no backups and no tuning.
 *
 * @throws Error whose message says what to do: a variable or the package is missing, or Postgres ended by itself
 */
export async function runDemoPostgres(options: DemoPostgresOptions): Promise<void> {
  const { env, signal } = options;
  const { DEMO_POSTGRES_DIRECTORY: directory, DEMO_POSTGRES_PASSWORD: password, DEMO_POSTGRES_PORT: port = PORT } = env;
  if (!directory) throw new Error('DEMO_POSTGRES_DIRECTORY is not set: name the folder that keeps the data');
  if (!password || /[\r\n\0]/.test(password)) throw new Error('DEMO_POSTGRES_PASSWORD must be set to one line of text');
  const server = await prepare(directory, password);
  if (signal.aborted) return;
  await setPassword(server, password);
  if (!signal.aborted) await serve(server, port, signal);
}

async function prepare(directory: string, password: string): Promise<Server> {
  const account = postgresAccount();
  await mkdir(directory, { recursive: true });
  const programs = await embeddedPrograms(account, join(directory, 'programs'));
  const dataDirectory = join(directory, 'data');
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  await writeFile(rulesFile(directory), ACCESS_RULES);
  if (account) await giveTree(account, directory);
  await initialiseCluster({ programs, account, dataDirectory, passwordFile, user: USER });
  // Kubernetes gives a volume's files to the pod's group again at each start (fsGroup), and then Postgres refuses them.
  await chmod(dataDirectory, 0o700);
  await stopOrphan(dataDirectory);
  return { programs, account, directory, dataDirectory };
}

/** By Postgres' single-user mode, which asks for no password: the one in force may be another, and unknown. */
async function setPassword(server: Server, password: string): Promise<void> {
  const child = launch(server, ['--single', '-D', server.dataDirectory, 'postgres'], ['pipe', 'ignore', 'inherit']);
  child.stdin?.end(`alter role ${USER} password '${password.replaceAll("'", "''")}'\n`);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error('Postgres could not set the password: its log above says why');
}

async function serve(server: Server, port: string, signal: AbortSignal): Promise<void> {
  const settings = [
    `port=${port}`,
    'listen_addresses=*',
    'unix_socket_directories=',
    `hba_file=${rulesFile(server.directory)}`,
  ];
  const flags = settings.flatMap(setting => ['-c', setting]);
  const child = launch(server, ['-D', server.dataDirectory, ...flags], ['ignore', 'ignore', 'inherit']);
  // Postgres' fast shutdown: connections are ended, everything is flushed.
  const stop = () => void child.kill('SIGINT');
  signal.addEventListener('abort', stop);
  const [code] = (await once(child, 'close')) as [number | null];
  signal.removeEventListener('abort', stop);
  if (code !== 0 || !signal.aborted) throw new Error('Postgres ended: its log above says why');
}

function launch(server: Server, args: readonly string[], stdio: ('pipe' | 'ignore' | 'inherit')[]) {
  const { account, directory, programs } = server;
  // In a session of its own: Ctrl-C in a terminal reaches us alone, and we stop it.
  return spawn(join(programs.bin, 'postgres'), args, {
    ...account,
    cwd: directory,
    env: ENVIRONMENT,
    detached: true,
    stdio,
  });
}

function rulesFile(directory: string): string {
  return join(directory, 'pg_hba.conf');
}

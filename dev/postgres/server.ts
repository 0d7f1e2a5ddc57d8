import { randomBytes } from 'node:crypto';
import { chown, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Account } from './account.ts';
import { initialiseCluster, launchPostmaster, type Postmaster, stopOrphan } from './postmaster.ts';
import type { PostgresPrograms } from './programs.ts';

export interface PostgresOptions {
  readonly programs: PostgresPrograms;
  /** The system user that runs it; undefined for ourselves. */
  readonly account: Account | undefined;
  /** The account's own folder; data, password and log are kept in it. */
  readonly directory: string;
  /** On 127.0.0.1. */
  readonly port: number;
  /** Settings as in postgresql.conf, by name. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Folders that nobody needs any more when this process dies without stopping the server. */
  readonly removeWhenOrphaned?: readonly string[];
}

export interface PostgresServer {
  readonly port: number;
  /** Connection string of the superuser to one database. */
  url(database: string): string;
  start(): Promise<void>;
  /** Fast shutdown: connections are ended, everything is flushed. */
  stop(): Promise<void>;
  /** Immediate shutdown, as in a crash: the next start recovers from the write-ahead log. */
  crash(): Promise<void>;
}

const USER = 'postgres';

/**
 * A Postgres server of our own on 127.0.0.1, with SCRAM passwords and no Unix socket. The cluster is made when the folder
 * holds none; the server is not started yet.
 *
 * @throws Error in plain words when initdb fails or the data is of another major version
 */
export async function createPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { account, directory, port, programs } = options;
  const dataDirectory = join(directory, 'data');
  const passwordFile = join(directory, 'password');
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...options.settings };
  const password = await keepPassword(passwordFile, account);
  await initialiseCluster({ programs, account, dataDirectory, passwordFile, user: USER });
  let running: Postmaster | undefined;

  async function start(): Promise<void> {
    if (running) return;
    await stopOrphan(dataDirectory);
    const logFile = join(directory, 'postgres.log');
    const remove = options.removeWhenOrphaned;
    running = await launchPostmaster({
      programs,
      account,
      dataDirectory,
      logFile,
      port,
      settings,
      ...(remove ? { remove } : {}),
    });
  }

  async function end(signal: 'SIGINT' | 'SIGQUIT'): Promise<void> {
    const postmaster = running;
    running = undefined;
    await postmaster?.stop(signal);
  }

  return {
    port,
    url: database => `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`,
    start,
    stop: () => end('SIGINT'),
    crash: () => end('SIGQUIT'),
  };
}

async function keepPassword(file: string, account: Account | undefined): Promise<string> {
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept) return kept.trim();
  const password = randomBytes(18).toString('base64url');
  await writeFile(file, `${password}\n`, { mode: 0o600 });
  if (account) await chown(file, account.uid, account.gid);
  return password;
}

import { rm } from 'node:fs/promises';
import pg from 'pg';
import { freePort } from '../../dev/ports.ts';
import { makeAccountDirectory, postgresAccount } from '../../dev/postgres/account.ts';
import { type PostgresPrograms, systemPrograms } from '../../dev/postgres/programs.ts';
import { createPostgres, type PostgresServer } from '../../dev/postgres/server.ts';
import { shared } from './environment.ts';

export interface TestPostgresOptions {
  /** Debian's programs of this major version instead of the embedded 18; ask `needs('postgres15')` first. */
  readonly version?: '15';
  /** A free one unless given. */
  readonly port?: number;
  readonly settings?: Readonly<Record<string, string>>;
  /** Where it keeps its data: a folder of its own, removed by whoever made it. A temporary one unless given. */
  readonly directory?: string;
  /** Other folders that nobody needs once this process has died. */
  readonly removeWhenOrphaned?: readonly string[];
  readonly programs?: PostgresPrograms;
}

export interface TestPostgres extends PostgresServer {
  restart(): Promise<void>;
  /** @returns the URL of the new, empty database */
  createDatabase(name: string): Promise<string>;
  /** Stops the server and removes its data. */
  remove(): Promise<void>;
}

interface TestContext {
  after(fn: () => Promise<void>): void;
}

/**
 * A Postgres server of a test's own, for faults (stop, crash, restart) and for older versions. Writes are synchronous as
 * in production; a test that does not ask for that wants `createDatabase` instead.
 */
export async function createServer(t: TestContext, options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const server = await startPostgres(options);
  t.after(() => server.remove());
  return server;
}

/** The same without a test to end it: the caller stops and removes it. */
export async function startPostgres(options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const account = postgresAccount();
  const directory = options.directory ?? (await makeAccountDirectory(account));
  const programs = options.programs ?? (await findPrograms(options.version));
  const port = options.port ?? (await freePort());
  const settings = { shared_buffers: '32MB', max_wal_size: '256MB', ...options.settings };
  const removeWhenOrphaned = [directory, ...(options.removeWhenOrphaned ?? [])];
  const server = await createPostgres({ account, directory, port, programs, settings, removeWhenOrphaned });
  await server.start().catch(async error => {
    for (const folder of removeWhenOrphaned) await rm(folder, { recursive: true, force: true });
    throw error;
  });
  return {
    ...server,
    restart: async () => {
      await server.stop();
      await server.start();
    },
    createDatabase: async name => {
      await withClient(server.url('postgres'), client =>
        client.query(`create database ${client.escapeIdentifier(name)}`),
      );
      return server.url(name);
    },
    remove: async () => {
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function findPrograms(version: string | undefined): Promise<PostgresPrograms> {
  if (!version) return { bin: shared('programs') };
  const programs = await systemPrograms(version);
  if (!programs) throw new Error(`Postgres ${version} is not installed; ask needs('postgres${version}') first`);
  return programs;
}

/** Runs with one connection, closed afterwards. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

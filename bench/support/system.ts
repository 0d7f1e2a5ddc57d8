import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DeleteQueueCommand, GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs';
import pg from 'pg';
import { makeCertificate } from '../../dev/certificate.ts';
import { freePort } from '../../dev/ports.ts';
import { makeAccountDirectory, postgresAccount } from '../../dev/postgres/account.ts';
import { embeddedPrograms, systemPrograms } from '../../dev/postgres/programs.ts';
import { createPostgres, type PostgresServer } from '../../dev/postgres/server.ts';
import { createQueue, sqsClient } from '../../dev/sqs.ts';
import { createKey } from '../../src/store/keys/api-keys.ts';
import { addDomain } from '../../src/store/owners/domains.ts';
import type { Pipeline } from '../../src/store/schema/pipeline.ts';
import { prepareDatabase } from '../../test/support/database.ts';

/** As a careful operator would set them on such a machine: every commit reaches the disk; checkpoints are rare. */
const POSTGRES_SETTINGS = {
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  shared_buffers: '512MB',
  wal_buffers: '16MB',
  max_wal_size: '8GB',
  checkpoint_timeout: '15min',
} as const;

/** Of the embedded programs. */
export const POSTGRES_VERSION = '18';

const OWNER = 'bench';
const DOMAIN = 'bench.test';

/** What the relay needs around it: Postgres and SQS, each in its own process, and TLS files. */
export interface System {
  readonly sqsEndpoint: string;
  /** Of the processes, all of whose children belong to them. */
  readonly pids: { readonly postgres: number; readonly sqs: number };
  readonly tls: { readonly ca: string; readonly certPath: string; readonly keyPath: string };
  /** An empty, migrated database with one key, and an empty queue. */
  prepare(name: string, pipeline: Pipeline): Promise<Stage>;
  /** An empty database without anything of ours. @returns its URL */
  createDatabase(name: string): Promise<string>;
  dropDatabase(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** The database and queue of one scenario. */
export interface Stage {
  readonly databaseUrl: string;
  readonly queueUrl: string;
  readonly key: string;
  /** Stored messages, and how many of them have a subject of their own. */
  countRows(): Promise<{ readonly rows: number; readonly distinct: number }>;
  /** Send jobs not yet published. */
  countOutbox(): Promise<number>;
  /** Send jobs on the queue. */
  countJobs(): Promise<number>;
  /** Drops the database and the queue. */
  remove(): Promise<void>;
}

/**
 * @param more settings of Postgres beside those of all benches
 * @param version of Debian's Postgres, in place of the embedded one
 * @throws Error where that is not installed
 */
export async function startSystem(more: Readonly<Record<string, string>> = {}, version?: string): Promise<System> {
  const account = postgresAccount();
  // Not where temporary files live in memory: there a commit would cost nothing.
  const directory = await makeAccountDirectory(account, ['/var/tmp', tmpdir()]);
  const programs = await (version ? systemPrograms(version) : embeddedPrograms(account, join(directory, 'programs')));
  if (!programs) throw new Error(`no Postgres ${version}: install the package postgresql-${version}`);
  const port = await freePort();
  const settings = { ...POSTGRES_SETTINGS, ...more };
  const postgres = await createPostgres({
    account,
    directory,
    port,
    programs,
    settings,
    removeWhenOrphaned: [directory],
  });
  await postgres.start();
  const sqs = fork(fileURLToPath(new URL('../processes/sqs.ts', import.meta.url)));
  const [{ endpoint }] = (await once(sqs, 'message')) as [{ endpoint: string }];
  const client = sqsClient(endpoint);
  const certificate = await makeCertificate();
  const certPath = join(directory, 'tls.crt');
  const keyPath = join(directory, 'tls.key');
  await writeFile(certPath, certificate.cert);
  await writeFile(keyPath, certificate.key, { mode: 0o600 });
  return {
    sqsEndpoint: endpoint,
    pids: { postgres: await postmasterOf(directory), sqs: sqs.pid as number },
    tls: { ca: certificate.ca, certPath, keyPath },
    prepare: (name, pipeline) => prepare({ postgres, endpoint, sqs: client }, name, pipeline),
    createDatabase: async name => {
      await administrate(postgres, `create database "${name}"`);
      return postgres.url(name);
    },
    dropDatabase: name => administrate(postgres, `drop database "${name}" with (force)`),
    stop: async () => {
      client.destroy();
      await stopChild(sqs);
      await postgres.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface Parts {
  readonly postgres: PostgresServer;
  readonly endpoint: string;
  readonly sqs: SQSClient;
}

async function prepare({ postgres, endpoint, sqs }: Parts, name: string, pipeline: Pipeline): Promise<Stage> {
  const database = name.replaceAll(/\W/g, '_').toLowerCase();
  const databaseUrl = postgres.url(database);
  await administrate(postgres, `create database "${database}"`);
  await prepareDatabase(databaseUrl, pipeline);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 1 });
  // The server is stopped under it.
  pool.on('error', () => {});
  const { key } = await createKey(pool, { name, owner: OWNER });
  await addDomain(pool, { name: DOMAIN, owner: OWNER, region: 'us-east-1' });
  const queueUrl = await createQueue(endpoint, database);
  return {
    databaseUrl,
    queueUrl,
    key,
    countRows: async () => {
      const sql =
        'select count(*)::int as rows, count(distinct subject)::int as distinct from emails where status = $1';
      const { rows } = await pool.query<{ rows: number; distinct: number }>(sql, ['queued']);
      return rows[0] ?? { rows: 0, distinct: 0 };
    },
    countOutbox: async () => {
      const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from smtp_relay_outbox');
      return rows[0]?.n ?? 0;
    },
    countJobs: async () => {
      const name = 'ApproximateNumberOfMessages';
      const { Attributes } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: [name] }),
      );
      return Number(Attributes?.[name] ?? 0);
    },
    remove: async () => {
      await pool.end();
      await sqs.send(new DeleteQueueCommand({ QueueUrl: queueUrl }));
      await administrate(postgres, `drop database "${database}" with (force)`, 'checkpoint');
    },
  };
}

async function administrate(postgres: PostgresServer, ...statements: string[]): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.url('postgres') });
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}

/** The number of the server's process is the first line of the file that holds its lock. */
async function postmasterOf(directory: string): Promise<number> {
  return Number((await readFile(join(directory, 'data/postmaster.pid'), 'latin1')).split('\n')[0]);
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.disconnect();
  await exited;
}

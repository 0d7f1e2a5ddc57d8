import { join } from 'node:path';
import pg from 'pg';
import { postgresAccount } from './account.ts';
import type { DevPorts } from './ports.ts';
import { createPostgres } from './postgres.ts';
import { embeddedPrograms } from './postgres-programs.ts';
import { startSqs } from './sqs.ts';
import { openState } from './state.ts';
import { keepTlsFiles, type TlsFiles } from './tls-files.ts';

export interface Parts {
  readonly databaseUrl: string;
  readonly queueUrl: string;
  readonly sqsEndpoint: string;
  readonly tls: TlsFiles;
  readonly keyFile: string;
  /** The messages that have a job on the queue. */
  readonly queuedEmailIds: () => Promise<Set<string>>;
}

export interface PartsOptions {
  readonly directory: string;
  readonly ports: DevPorts;
  /** Stops what was started. */
  readonly running: AsyncDisposableStack;
  readonly say: (text: string) => void;
}

const DATABASE = 'smtp_relay';
const QUEUE = 'smtp-relay';

/** Starts what the relay stands on: Postgres with a database, SQS with a queue, and a certificate. */
export async function startParts({ directory, ports, running, say }: PartsOptions): Promise<Parts> {
  const account = postgresAccount();
  const state = await openState(directory, account);
  say('Starting Postgres, SQS and the relay …');
  const postgres = await createPostgres({
    programs: await embeddedPrograms(account, join(state.postgres, 'programs')),
    account,
    directory: state.postgres,
    port: ports.postgres,
  });
  running.defer(() => postgres.stop());
  await postgres.start();
  await createDatabase(postgres.url('postgres'));

  const sqs = await startSqs({ port: ports.sqs, dataDirectory: state.sqs });
  running.defer(() => sqs.stop());
  return {
    databaseUrl: postgres.url(DATABASE),
    queueUrl: await sqs.createQueue(QUEUE),
    sqsEndpoint: sqs.endpoint,
    tls: await keepTlsFiles(state.tls),
    keyFile: state.keyFile,
    queuedEmailIds: async () => emailIds(await sqs.peek(QUEUE)),
  };
}

async function createDatabase(adminUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
}

function emailIds(jobs: readonly string[]): Set<string> {
  return new Set(jobs.map(job => String((JSON.parse(job) as { emailId?: unknown }).emailId)));
}

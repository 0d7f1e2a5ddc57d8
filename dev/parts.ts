import { join } from 'node:path';
import pg from 'pg';
import type { EmbeddedParts } from './environment.ts';
import type { DevPorts } from './ports.ts';
import { postgresAccount } from './postgres/account.ts';
import { embeddedPrograms } from './postgres/programs.ts';
import { createPostgres } from './postgres/server.ts';
import { keepSecret } from './secret.ts';
import { startSqs } from './sqs.ts';
import { type DevState, openState } from './state.ts';
import { stopWithin } from './stop-within.ts';
import { keepTlsFiles } from './tls-files.ts';

export interface Parts extends EmbeddedParts {
  readonly state: DevState;
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
const EVENTS_QUEUE = 'smtp-relay-events';
/** Milliseconds that the emulator of SQS may take to stop. */
const SQS_STOP_LIMIT = 5_000;

/** Starts what relay and worker stand on: Postgres with a database, SQS with two queues, a certificate, secrets. */
export async function startParts({ directory, ports, running, say }: PartsOptions): Promise<Parts> {
  const account = postgresAccount();
  const state = await openState(directory, account);
  say('Starting Postgres, SQS, relay and worker …');
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
  running.defer(() => stopWithin('SQS', SQS_STOP_LIMIT, () => sqs.stop()));
  return {
    state,
    databaseUrl: postgres.url(DATABASE),
    queueUrl: await sqs.createQueue(QUEUE),
    eventsQueueUrl: await sqs.createQueue(EVENTS_QUEUE),
    sqsEndpoint: sqs.endpoint,
    tls: await keepTlsFiles(state.tls),
    captured: state.captured,
    journal: state.journal,
    trackingSecret: await keepSecret(state.trackingSecretFile),
    webhooksKey: await keepSecret(state.webhooksKeyFile),
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

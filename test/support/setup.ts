import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeAccountDirectory, postgresAccount } from '../../dev/postgres/account.ts';
import { embeddedPrograms } from '../../dev/postgres/programs.ts';
import { type SqsServer, startSqs } from '../../dev/sqs.ts';
import { prepareDatabase } from './database.ts';
import { share } from './environment.ts';
import { startPostgres, type TestPostgres } from './postgres-server.ts';

interface Running {
  readonly directory: string;
  readonly postgres: TestPostgres;
  readonly sqs: SqsServer;
}

let running: Running | undefined;

/** Runs once before all test files (`--test-global-setup`): one Postgres with a migrated template database for each
 * pipeline, one SQS. */
export async function globalSetup(): Promise<void> {
  const account = postgresAccount();
  const directory = await makeAccountDirectory(account);
  const programs = await embeddedPrograms(account, join(directory, 'programs'));
  const settings = { max_connections: '300', fsync: 'off', full_page_writes: 'off' };
  const postgres = await startPostgres({ directory, programs, settings });
  const sqs = await startSqs({ port: 0 });
  running = { directory, postgres, sqs };
  share({
    postgresUrl: postgres.url('postgres'),
    ...(await makeTemplates(postgres)),
    programs: programs.bin,
    sqsEndpoint: sqs.endpoint,
  });
}

async function makeTemplates(postgres: TestPostgres) {
  const templates = { standaloneTemplate: 'template_standalone', opensendTemplate: 'template_opensend' };
  await prepareDatabase(await postgres.createDatabase(templates.standaloneTemplate), 'standalone');
  await prepareDatabase(await postgres.createDatabase(templates.opensendTemplate), 'opensend');
  return templates;
}

/** Runs once after all test files, also when they were interrupted. */
export async function globalTeardown(): Promise<void> {
  await running?.sqs.stop();
  await running?.postgres.stop();
  if (running) await rm(running.directory, { recursive: true, force: true });
  running = undefined;
}

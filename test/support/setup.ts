import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeAccountDirectory, postgresAccount } from '../../src/dev/account.ts';
import { embeddedPrograms } from '../../src/dev/postgres-programs.ts';
import { type SqsServer, startSqs } from '../../src/dev/sqs.ts';
import { migrate } from '../../src/store/migrate.ts';
import { share } from './environment.ts';
import { startPostgres, type TestPostgres } from './postgres-server.ts';

const TEMPLATE = 'template_migrated';

interface Running {
  readonly directory: string;
  readonly postgres: TestPostgres;
  readonly sqs: SqsServer;
}

let running: Running | undefined;

/** Runs once before all test files (`--test-global-setup`): one Postgres with a migrated template database, one SQS. */
export async function globalSetup(): Promise<void> {
  const account = postgresAccount();
  const directory = await makeAccountDirectory(account);
  const programs = await embeddedPrograms(account, join(directory, 'programs'));
  const settings = { max_connections: '300', fsync: 'off', full_page_writes: 'off' };
  const postgres = await startPostgres({ directory, programs, settings });
  const sqs = await startSqs({ port: 0 });
  running = { directory, postgres, sqs };
  await postgres.createDatabase(TEMPLATE);
  await migrate(postgres.url(TEMPLATE));
  share({
    postgresUrl: postgres.url('postgres'),
    template: TEMPLATE,
    programs: programs.bin,
    sqsEndpoint: sqs.endpoint,
  });
}

/** Runs once after all test files, also when they were interrupted. */
export async function globalTeardown(): Promise<void> {
  await running?.sqs.stop();
  await running?.postgres.stop();
  if (running) await rm(running.directory, { recursive: true, force: true });
  running = undefined;
}

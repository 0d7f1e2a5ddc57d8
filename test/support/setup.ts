import { rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { type Account, canEnter, makeAccountDirectory, postgresAccount } from '../../dev/postgres/account.ts';
import { embeddedPrograms } from '../../dev/postgres/programs.ts';
import { type SqsServer, startSqs } from '../../dev/sqs.ts';
import { prepareDatabase } from './database.ts';
import { share } from './environment.ts';
import { startPostgres, type TestPostgres } from './postgres-server.ts';

/** Where Linux keeps files in memory. */
const MEMORY = '/dev/shm';
/** Bytes: several times what the tests of a run have there at once. */
const ENOUGH = 4 * 2 ** 30;

interface Running {
  readonly directories: readonly string[];
  readonly postgres: TestPostgres;
  readonly sqs: SqsServer;
}

let running: Running | undefined;

/**
 * Runs once before all test files (`--test-global-setup`): one Postgres with a migrated template database for each
 * pipeline, one SQS.
 */
export async function globalSetup(): Promise<void> {
  const account = postgresAccount();
  // Programs may not be run from memory everywhere.
  const work = await makeAccountDirectory(account);
  const directory = await makeDataDirectory(account);
  const programs = await embeddedPrograms(account, join(work, 'programs'));
  const settings = { max_connections: '300', fsync: 'off', full_page_writes: 'off' };
  const postgres = await startPostgres({ directory, programs, settings, removeWhenOrphaned: [work] });
  const sqs = await startSqs({ port: 0 });
  running = { directories: [work, directory], postgres, sqs };
  share({
    postgresUrl: postgres.url('postgres'),
    ...(await makeTemplates(postgres)),
    programs: programs.bin,
    sqsEndpoint: sqs.endpoint,
  });
}

/**
 * In memory where there is room: each test's database is some hundreds of files, which take ten times as long on a disk, however
 * quick that is.
 */
async function makeDataDirectory(account: Account | undefined): Promise<string> {
  const { bavail, bsize } = await statfs(MEMORY).catch(() => ({ bavail: 0, bsize: 0 }));
  return bavail * bsize >= ENOUGH && canEnter(account, MEMORY)
    ? makeAccountDirectory(account, [MEMORY])
    : makeAccountDirectory(account);
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
  for (const directory of running?.directories ?? []) await rm(directory, { recursive: true, force: true });
  running = undefined;
}

import { randomBytes } from 'node:crypto';
import { migrate } from '../../src/store/schema/migrate.ts';
import type { Pipeline } from '../../src/store/schema/pipeline.ts';
import { shared } from './environment.ts';
import { reportUnsent, type Unsendable } from './opensend/sent.ts';
import { createOpenSendTables } from './opensend/tables.ts';
import { withClient } from './postgres-server.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface DatabaseOptions {
  /** An empty one, as `migrate` finds it at first, rather than a clone of a migrated template. */
  readonly empty?: boolean;
  /** Whose shared tables are in it: ours (`standalone`, unless given) or OpenSend's. It is recorded as used with that. */
  readonly pipeline?: Pipeline;
  /** What OpenSend's worker cannot send of what it holds at the end; unless given, all of that can be sent. */
  readonly unsendable?: Unsendable;
}

/** A database of the test's own on the run's Postgres, migrated, dropped afterwards. @returns its URL */
export async function createDatabase(t: TestContext, options: DatabaseOptions = {}): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const admin = shared('postgresUrl');
  const migrated = shared(`${options.pipeline ?? 'standalone'}Template`);
  const template = options.empty ? 'template0' : migrated;
  // By files: to write them to the log as well takes longer.
  await withClient(admin, client => client.query(`create database ${name} template ${template} strategy file_copy`));
  const url = new URL(admin);
  url.pathname = `/${name}`;
  t.after(async () => {
    await reportUnsent(url.href, options.unsendable);
    await withClient(admin, client => client.query(`drop database ${name} with (force)`));
  });
  return url.href;
}

/** Fills an empty database as it is used with the pipeline: OpenSend's own migrations make the shared tables, before ours run. */
export async function prepareDatabase(url: string, pipeline: Pipeline): Promise<void> {
  if (pipeline === 'opensend') await withClient(url, createOpenSendTables);
  await migrate(url, { pipeline });
}

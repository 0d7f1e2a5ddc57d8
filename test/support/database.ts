import { randomBytes } from 'node:crypto';
import { shared } from './environment.ts';
import { withClient } from './postgres-server.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface DatabaseOptions {
  /** An empty one, as `migrate` finds it at first, rather than a clone of the migrated template. */
  readonly empty?: boolean;
}

/** A database of the test's own on the run's Postgres, migrated, dropped afterwards. @returns its URL */
export async function createDatabase(t: TestContext, options: DatabaseOptions = {}): Promise<string> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  const admin = shared('postgresUrl');
  const template = options.empty ? 'template0' : shared('template');
  await withClient(admin, client => client.query(`create database ${name} template ${template}`));
  t.after(() => withClient(admin, async client => void (await client.query(`drop database ${name} with (force)`))));
  const url = new URL(admin);
  url.pathname = `/${name}`;
  return url.href;
}

import { migrate } from '../../../src/store/migrate.ts';
import { createDatabase } from '../database.ts';
import { withClient } from '../postgres-server.ts';
import { createOpenSendTables } from './tables.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

/** A database with the tables of an OpenSend, beside which the relay has its own. @returns its URL */
export async function createOpenSendDatabase(t: TestContext): Promise<string> {
  const url = await createDatabase(t, { empty: true });
  await withClient(url, async client => void (await createOpenSendTables(client)));
  await migrate(url);
  return url;
}

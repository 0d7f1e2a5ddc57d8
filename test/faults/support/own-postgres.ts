import { migrate } from '../../../src/store/migrate.ts';
import { type Owner, seedOwner } from '../../support/owner.ts';
import { createServer, type TestPostgres, withClient } from '../../support/postgres-server.ts';
import type { TestContext } from '../../support/relay.ts';

export interface OwnPostgres {
  readonly server: TestPostgres;
  /** For `shareWith` of `startRelay`. */
  readonly databaseUrl: string;
  readonly owner: Owner;
}

/** A Postgres server that a test may take away, with a migrated database and an owner in it. */
export async function createOwnPostgres(
  t: TestContext,
  settings: Readonly<Record<string, string>> = {},
): Promise<OwnPostgres> {
  const server = await createServer(t, { settings });
  const databaseUrl = await server.createDatabase('relay');
  await migrate(databaseUrl);
  const owner = await withClient(databaseUrl, client => seedOwner(client));
  return { server, databaseUrl, owner };
}

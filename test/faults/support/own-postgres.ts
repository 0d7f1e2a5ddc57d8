import type { Pipeline } from '../../../src/store/schema/pipeline.ts';
import { prepareDatabase } from '../../support/database.ts';
import { type Owner, seedOwner } from '../../support/owner.ts';
import { createServer, type TestPostgres, withClient } from '../../support/postgres-server.ts';
import type { TestContext } from '../../support/relay.ts';

export interface OwnPostgres {
  readonly server: TestPostgres;
  /** For `shareWith` of `startRelay`. */
  readonly databaseUrl: string;
  readonly owner: Owner;
}

export interface OwnPostgresOptions {
  /** Of the server. */
  readonly settings?: Readonly<Record<string, string>>;
  /** `opensend`, as a relay's is in tests, unless given. */
  readonly pipeline?: Pipeline;
}

/** A Postgres server that a test may take away, with a migrated database and an owner in it. */
export async function createOwnPostgres(
  t: TestContext,
  { settings = {}, pipeline = 'opensend' }: OwnPostgresOptions = {},
): Promise<OwnPostgres> {
  const server = await createServer(t, { settings });
  const databaseUrl = await server.createDatabase('relay');
  await prepareDatabase(databaseUrl, pipeline);
  const owner = await withClient(databaseUrl, client => seedOwner(client));
  return { server, databaseUrl, owner };
}

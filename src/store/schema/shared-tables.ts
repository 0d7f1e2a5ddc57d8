import { readFile } from 'node:fs/promises';
import type { Queryable } from '../../postgres/pool.ts';

/** The tables that the relay shares with an OpenSend installation (contract), by name. */
export const SHARED_TABLES = [
  'api_keys',
  'emails',
  'email_suppressions',
  'domains',
  'email_events',
  'webhooks',
  'webhook_deliveries',
] as const;

const SCRIPT = new URL('./shared-tables.sql', import.meta.url);

const FOUND = 'select name from unnest($1::text[]) name where to_regclass(quote_ident(name)) is not null';

/** Which of the shared tables there are, whoever made them, where the search path finds them. */
export async function findSharedTables(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(FOUND, [SHARED_TABLES]);
  return rows.map(({ name }) => name);
}

/** Makes those that are missing, for a database of the relay's own. Where others may do so at the same moment, the caller has a lock. */
export async function makeSharedTables(db: Queryable): Promise<void> {
  await db.query(await readFile(SCRIPT, 'utf8'));
}

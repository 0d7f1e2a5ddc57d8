import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type pg from 'pg';
import type { Logger } from '../observability/log.ts';
import { DatabaseClient, type DatabaseUrl } from './client.ts';
import { claimPipeline, type Pipeline } from './pipeline.ts';
import type { Queryable } from './pool.ts';

export interface MigrateOptions {
  /** Recorded as this database's pipeline where none is recorded yet; a different one is a `PipelineMismatch`. */
  readonly pipeline?: Pipeline;
  readonly logger?: Logger;
  /** Milliseconds to wait for another process's migration, and for any lock; 120,000 unless given. */
  readonly lockTimeout?: number;
  /** Milliseconds to wait for a connection; 10,000 unless given. */
  readonly connectTimeout?: number;
}

const DIRECTORY = fileURLToPath(new URL('./migrations', import.meta.url));
const TABLE = 'smtp_relay_migrations';

/** An arbitrary number that is ours: "smtp" in ASCII. */
const LOCK_ID = 0x736d7470;

/** The schema that holds, or is to hold, our tables. Where they exist, wherever the search path finds them. */
const FIND_SCHEMA = `
  select coalesce((select relnamespace::regnamespace::name from pg_class where oid = to_regclass('${TABLE}')),
                  current_schema()) as schema,
         to_regclass('${TABLE}') is not null as migrated`;

/**
 * Brings the database to this version's schema. Only adds: tables of an OpenSend installation stay as they are. Safe to
 * run from many processes at once; they wait for each other. Throws what the database throws.
 *
 * @returns the names of the migrations that this call applied, in order
 */
export async function migrate(databaseUrl: DatabaseUrl, options: MigrateOptions = {}): Promise<{ applied: string[] }> {
  const client = new DatabaseClient(databaseUrl, {
    application_name: 'smtp-relay migrate',
    connectionTimeoutMillis: options.connectTimeout ?? 10_000,
    keepAlive: true,
  });
  // A connection lost in mid-query rejects that query; without a listener it would also end the process.
  client.on('error', error => options.logger?.debug({ err: error }, 'database connection lost'));
  await client.connect();
  try {
    // Looked at before locking, so that in the ordinary case a hundred starting pods wait for nothing.
    const applied = (await isCurrent(client)) ? [] : await applyLocked(client, options);
    if (options.pipeline) await claimPipeline(client, options.pipeline);
    return { applied };
  } finally {
    await client.end();
  }
}

/** The number of the newest migration applied to the database; 0 where there is none. */
export async function schemaVersion(db: Queryable): Promise<number> {
  return Math.max(0, ...(await appliedNames(db)).map(versionOf));
}

/** The number of the newest migration this program knows. A database at a higher one, after a roll-back, works too. */
export async function expectedSchemaVersion(): Promise<number> {
  return Math.max(0, ...(await knownNames()).map(versionOf));
}

/**
 * Lock and migrations share one transaction and one connection: it is all or nothing, works through PgBouncer in
 * transaction mode (a session lock would stay behind on a pooled connection), and those who wait cannot take the
 * last connection away from the one they wait for.
 */
async function applyLocked(client: pg.Client, options: MigrateOptions): Promise<string[]> {
  await client.query('begin');
  try {
    await client.query("select set_config('lock_timeout', $1, true)", [String(options.lockTimeout ?? 120_000)]);
    await client.query('select pg_advisory_xact_lock($1)', [LOCK_ID]);
    const { rows } = await client.query<{ schema: string | null }>(FIND_SCHEMA);
    const applied = await runner({
      dbClient: client,
      dir: DIRECTORY,
      migrationsTable: TABLE,
      migrationsSchema: rows[0]?.schema ?? 'public',
      direction: 'up',
      noLock: true,
      singleTransaction: true,
      logger: quiet(options.logger),
    });
    // The library has committed if it had something to do; then this one changes nothing.
    await client.query('commit');
    return applied.map(({ name }) => name);
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

async function isCurrent(client: pg.Client): Promise<boolean> {
  const applied = new Set(await appliedNames(client));
  return (await knownNames()).every(name => applied.has(name));
}

async function appliedNames(db: Queryable): Promise<string[]> {
  const found = await db.query<{ schema: string; migrated: boolean }>(FIND_SCHEMA);
  if (!found.rows[0]?.migrated) return [];
  const { rows } = await db.query<{ name: string }>(`select name from ${TABLE} order by id`);
  return rows.map(({ name }) => name);
}

async function knownNames(): Promise<string[]> {
  return (await readdir(DIRECTORY)).filter(name => name.endsWith('.sql')).map(name => name.slice(0, -'.sql'.length));
}

function versionOf(name: string): number {
  return Number.parseInt(name, 10);
}

/** The library narrates each step; that is for debugging. Its errors are thrown as well, so they need no line either. */
function quiet(logger: Logger | undefined) {
  const debug = (message: string) => logger?.debug({ room: 'migrate' }, message);
  return { debug, info: debug, warn: debug, error: debug };
}

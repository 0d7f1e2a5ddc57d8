import { readdir } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import type { Logger } from '../../observability/log.ts';
import { DatabaseClient, type DatabaseUrl } from '../../postgres/client.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { buildIndexes, lockBuilds, readConcurrentIndexes } from './concurrent-indexes.ts';
import {
  claimPipeline,
  findSharedTables,
  makeSharedTables,
  type Pipeline,
  PipelineUnstated,
  readPipeline,
  requirePipeline,
  SHARED_TABLES,
  setPipeline,
} from './pipeline.ts';

export interface MigrateOptions {
  /**
   * Recorded as this database's pipeline where none is recorded yet; a different one is a `PipelineMismatch`. Left out, the
   * recorded one counts, and where there is none, tables of ours alone are made, for others to say whose database it is.
   */
  readonly pipeline?: Pipeline;
  /** Whether `pipeline` counts whatever is recorded, or whoever made the tables that are there: an operator says so. */
  readonly override?: boolean;
  readonly logger?: Logger;
  /**
   * Milliseconds to wait for another process's migration, and for any lock; 120,000 unless given. Builds of indexes in which nobody
   * has to wait for us are waited for as long as they take.
   */
  readonly lockTimeout?: number;
  /** Milliseconds to wait for a connection; 10,000 unless given. */
  readonly connectTimeout?: number;
  /** Is told what begins: a migration, or the indexes that are built before it, which may take hours on large tables. */
  readonly onStep?: (what: string) => void;
}

const DIRECTORY = fileURLToPath(new URL('./migrations', import.meta.url));
/** Indexes of large tables, by the name of the migration before which they are built. */
const INDEXES = new URL('./concurrent-indexes/', import.meta.url);
const TABLE = 'smtp_relay_migrations';

/** An arbitrary number that is ours: "smtp" in ASCII. */
const LOCK_ID = 0x736d7470;
const LOCK_TIMEOUT = 120_000;
/** Milliseconds for which a migration waits for a lock: mail that comes meanwhile waits behind it. */
const SHORT_LOCK = 2_000;
/** Milliseconds between two tries, which mail has for itself. */
const PAUSE = 1_000;
/** PostgreSQL: a lock was not to be had in time, or two were in each other's way. */
const IN_THE_WAY = new Set(['55P03', '40P01']);

/** The schema that holds, or is to hold, our tables. Where they exist, wherever the search path finds them. */
const FIND_SCHEMA = `
  select coalesce((select relnamespace::regnamespace::name from pg_class where oid = to_regclass('${TABLE}')),
                  current_schema()) as schema,
         to_regclass('${TABLE}') is not null as migrated`;

/**
 * Brings the database to this version's schema. Only adds: tables of an OpenSend installation stay as they are. The tables
 * shared with one are made in the pipeline `standalone` only, since OpenSend's own migrations fail where one is there. Safe to
 * run from many processes at once; they wait for each other. Throws what the database throws, too.
 *
 * @returns the names of the migrations that this call applied, in order, and the pipeline that the database is used with
 * @throws PipelineMismatch, ForeignInstallation, PipelineUnstated before anything is changed
 */
export async function migrate(
  databaseUrl: DatabaseUrl,
  options: MigrateOptions = {},
): Promise<{ applied: string[]; pipeline: string | null }> {
  const client = newClient(databaseUrl, options);
  try {
    await client.connect();
    const pipeline = await choosePipeline(client, options);
    // Looked at before locking, so that in the ordinary case a hundred starting pods wait for nothing.
    const applied = (await isCurrent(client)) ? [] : await applyAll(client, databaseUrl, options);
    if (pipeline !== null && !(await isInUse(client, pipeline))) await takeIntoUse(client, pipeline, options);
    return { applied, pipeline };
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

async function choosePipeline(client: pg.Client, { pipeline, override }: MigrateOptions): Promise<Pipeline | null> {
  if (pipeline) {
    if (!override) await requirePipeline(client, pipeline);
    return pipeline;
  }
  const recorded = await readPipeline(client);
  if (recorded === null && (await findSharedTables(client)).length === 0) throw new PipelineUnstated();
  return recorded as Pipeline | null;
}

async function isInUse(client: pg.Client, pipeline: Pipeline): Promise<boolean> {
  if ((await readPipeline(client)) !== pipeline) return false;
  return pipeline !== 'standalone' || (await findSharedTables(client)).length === SHARED_TABLES.length;
}

/**
 * Records the pipeline and makes the shared tables, where it is for this program to make them: both or neither, since tables
 * without a record are taken for OpenSend's.
 */
function takeIntoUse(client: pg.Client, pipeline: Pipeline, options: MigrateOptions): Promise<void> {
  return inLock(client, options, async () => {
    if (options.override) await setPipeline(client, pipeline);
    else await claimPipeline(client, pipeline);
    if (pipeline === 'standalone') await makeSharedTables(client);
  });
}

function newClient(databaseUrl: DatabaseUrl, options: MigrateOptions): pg.Client {
  const client = new DatabaseClient(databaseUrl, {
    application_name: 'smtp-relay migrate',
    connectionTimeoutMillis: options.connectTimeout ?? 10_000,
    keepAlive: true,
  });
  // A connection lost in mid-query rejects that query; without a listener it would also end the process.
  client.on('error', error => options.logger?.debug({ err: error }, 'database connection lost'));
  return client;
}

/**
 * Where there is nothing yet, all at once. Otherwise one after the other, each of which finds the indexes of large tables built, so that
 * it has locks for a moment only.
 */
async function applyAll(client: pg.Client, databaseUrl: DatabaseUrl, options: MigrateOptions): Promise<string[]> {
  const applied: string[] = [];
  for (;;) {
    const before = await appliedNames(client);
    const next = await firstMissing(before);
    if (next === undefined) return applied;
    if (before.length > 0) await buildBefore(next, client, databaseUrl, options);
    options.onStep?.(`migration ${next}`);
    const count = before.length > 0 ? 1 : Number.POSITIVE_INFINITY;
    applied.push(...(await apply(client, options, { next, count })));
  }
}

/** Builds the indexes that go with a migration, while nobody else does, and while mail goes on. */
async function buildBefore(
  name: string,
  client: pg.Client,
  databaseUrl: DatabaseUrl,
  options: MigrateOptions,
): Promise<void> {
  const indexes = await readConcurrentIndexes(new URL(`${name}.sql`, INDEXES));
  if (indexes.length === 0) return;
  options.onStep?.(`building the indexes of ${name}`);
  // The lock needs a transaction, which a build cannot be in.
  const guard = newClient(databaseUrl, options);
  try {
    await guard.connect();
    await lockBuilds(guard);
    if ((await firstMissing(await appliedNames(client))) !== name) return;
    await buildIndexes({ client, indexes, logger: options.logger });
  } finally {
    await guard.end();
  }
}

/** @returns what was applied: nothing where somebody else was quicker */
async function apply(
  client: pg.Client,
  options: MigrateOptions,
  { next, count }: { readonly next: string; readonly count: number },
): Promise<string[]> {
  // Loaded here: nearly every process finds the schema up to date, and would hold it in memory for as long as it runs.
  const { runner } = await import('node-pg-migrate');
  return inLock(client, options, async () => {
    if ((await firstMissing(await appliedNames(client))) !== next) return [];
    const { rows } = await client.query<{ schema: string | null }>(FIND_SCHEMA);
    const applied = await runner({
      dbClient: client,
      dir: DIRECTORY,
      migrationsTable: TABLE,
      migrationsSchema: rows[0]?.schema ?? 'public',
      direction: 'up',
      count,
      noLock: true,
      singleTransaction: true,
      logger: quiet(options.logger),
    });
    return applied.map(({ name }) => name);
  });
}

/**
 * Lock and work share one transaction and one connection: it is all or nothing, works through PgBouncer in
 * transaction mode (a session lock would stay behind on a pooled connection), and those who wait cannot take the
 * last connection away from the one they wait for. Where others are in the way, all of it is done again behind a pause, until the
 * time is up.
 */
async function inLock<T>(client: pg.Client, options: MigrateOptions, work: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + (options.lockTimeout ?? LOCK_TIMEOUT);
  for (;;) {
    const left = Math.max(1, Math.ceil(deadline - performance.now()));
    try {
      return await tryInLock(client, left, work);
    } catch (error) {
      const mayTryAgain = IN_THE_WAY.has((error as { code?: string }).code ?? '');
      if (!mayTryAgain || performance.now() + PAUSE >= deadline) throw error;
      options.logger?.info({ err: error }, 'a migration waits for others, and is tried again');
      await delay(PAUSE);
    }
  }
}

/** @param left milliseconds for the lock of all migrations, and for others at most */
async function tryInLock<T>(client: pg.Client, left: number, work: () => Promise<T>): Promise<T> {
  const limit = "select set_config('lock_timeout', $1, true)";
  await client.query('begin');
  try {
    await client.query(limit, [String(left)]);
    await client.query('select pg_advisory_xact_lock($1)', [LOCK_ID]);
    await client.query(limit, [String(Math.min(left, SHORT_LOCK))]);
    const result = await work();
    // The library of migrations has committed if it had something to do; then this one changes nothing.
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

async function isCurrent(client: pg.Client): Promise<boolean> {
  return (await firstMissing(await appliedNames(client))) === undefined;
}

async function firstMissing(applied: readonly string[]): Promise<string | undefined> {
  return (await knownNames()).toSorted().find(name => !applied.includes(name));
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

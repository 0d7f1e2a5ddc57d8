import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../observability/log.ts';
import { DatabaseClient, type DatabaseUrl } from './client.ts';
import { isConflict, READ_ONLY } from './errors.ts';
import { PatientPool } from './patient-pool.ts';

export interface PoolOptions {
  readonly databaseUrl: DatabaseUrl;
  /** Connections at most. */
  readonly poolSize: number;
  /** Milliseconds to wait for a connection, whether a new one or one that becomes free, here or at the server; 0 waits for ever. */
  readonly connectTimeout: number;
  /** Milliseconds after which a statement is cancelled; 0 for no limit. */
  readonly statementTimeout: number;
  /**
   * Let Postgres keep statements for the next time. `auto`: those that are `kept`, where the session is ours alone; a pooler may give
   * each transaction another one. `on`: all that have parameters, wherever. `off` unless given.
   */
  readonly preparedStatements?: 'auto' | 'on' | 'off';
}

/** What can run a query: a pool, or one client. */
export type Queryable = Pick<pg.ClientBase | pg.Pool, 'query'>;

/** How much longer than the server this side waits, so that the server's own, clearer error comes first. */
const CLIENT_TIMEOUT_SLACK = 1_000;
/**
 * Milliseconds. Our transactions wait for nothing but the database, so one that idles has lost its client without notice,
 * and would hold its locks against the next try for as long as TCP takes to find out.
 */
const IDLE_TRANSACTION_TIMEOUT = 3_000;
/** Seconds. A busy connection is never idle, and would stay with an old login, or an old address, for ever. */
const LONGEST_LIFE = 1_800;

/**
 * Session settings, made only where the session is ours alone. `statement_timeout` and `options` as start-up parameters
 * would be refused by PgBouncer, and a SET through one in transaction mode would leak into other applications' sessions.
 * A pooler hands out cancel keys of its own, so the server's process id differs from the one the client was told.
 *
 * `synchronous_commit` is raised where a role or database default turned it off: a 250 promises a durable commit.
 */
const PREPARE_SESSION = `
  select set_config('statement_timeout', $1, false),
         set_config('idle_in_transaction_session_timeout', $3, false),
         set_config('synchronous_commit', coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)
   where pg_backend_pid() = $2`;

/**
 * A connection pool that outlives server restarts: a connection that dies, idle or checked out, is logged and replaced.
 * It outlives failovers, too: connections to a server that has become read-only are replaced. Connecting is lazy; an
 * unreachable server is the error of the query that needed it.
 *
 * A password that changes counts for new connections. Postgres asks for it at the log-in only, so that open ones go on.
 */
export function createPool(options: PoolOptions, logger: Logger): PatientPool {
  const settings = {
    Client: clientFor(options.databaseUrl),
    application_name: 'smtp-relay',
    max: options.poolSize,
    connectionTimeoutMillis: options.connectTimeout,
    idleTimeoutMillis: 30_000,
    maxLifetimeSeconds: LONGEST_LIFE,
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
    ...(options.statementTimeout > 0 ? { query_timeout: options.statementTimeout + CLIENT_TIMEOUT_SLACK } : {}),
    onConnect: async (client: pg.ClientBase) => {
      // The pool listens only while a client is idle; without this listener a checked-out one would end the process.
      client.on('error', error => logger.debug({ err: error }, 'database connection lost'));
      const { processID } = client as unknown as { readonly processID: number | null };
      const times = { statement: String(options.statementTimeout), idle: String(IDLE_TRANSACTION_TIMEOUT) };
      const { rowCount } = await client.query(PREPARE_SESSION, [times.statement, processID ?? 0, times.idle]);
      const { preparedStatements = 'off' } = options;
      if (preparedStatements === 'on') nameStatements(client, 'all');
      else if (preparedStatements === 'auto' && rowCount === 1) nameStatements(client, 'kept');
    },
  };
  const pool = new PatientPool(settings, logger);
  pool.on('error', error => logger.warn({ err: error }, 'idle database connection lost'));
  dropWhenReadOnly(pool, logger);
  repeatConflicts(pool);
  return pool;
}

/** The pool hands the same options to each of its clients; these look up for themselves where to connect. */
function clientFor(databaseUrl: DatabaseUrl) {
  return class extends DatabaseClient {
    constructor(config?: pg.ClientConfig) {
      super(databaseUrl, config);
    }
  };
}

const BEGIN = 'begin isolation level read committed';
/** How the statements of a transaction are planned. */
const PLANS = {
  /** As Postgres sees fit. */
  auto: '',
  /**
   * Whatever their values, as suits those that are `kept`. Left to itself, Postgres compares what such a plan costs now with what others
   * did when tables were smaller, and so goes on planning each time while these grow.
   */
  generic: '; set local plan_cache_mode = force_generic_plan',
} as const;

/**
 * Does work in a transaction whose statements each see what was committed before them, whatever the database's default is. Where
 * the work fails, nothing of it was done.
 *
 * @throws what the work throws, and the database's error
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (db: pg.PoolClient) => Promise<T>,
  plans: keyof typeof PLANS = 'auto',
): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query(BEGIN + PLANS[plans]);
    const result = await work(client);
    await client.query('commit');
    client.release();
    return result;
  } catch (error) {
    // Closing the connection rolls back, whatever state it is in.
    client.release(true);
    throw error;
  }
}

const IS_READ_ONLY = "select current_setting('transaction_read_only')::boolean as read_only";

/** @throws the database's error where it does not serve, and one with its SQLSTATE where it takes nothing in */
export async function checkDatabase(db: Queryable): Promise<void> {
  const { rows } = await db.query<{ read_only: boolean }>(IS_READ_ONLY);
  if (rows[0]?.read_only) throw Object.assign(new Error('the database is read-only'), { code: READ_ONLY });
}

export interface KeptStatement extends pg.QueryConfig {
  readonly kept: true;
}

/**
 * A statement that is worth keeping: it comes with every message, and its best plan is the same whatever its values and however many
 * rows there are. Others may be better planned each time.
 */
export function kept(text: string, values: unknown[]): KeptStatement {
  return { text, values, kept: true };
}

export function isKept(statement: unknown): statement is KeptStatement {
  return typeof statement === 'object' && statement !== null && 'kept' in statement;
}

/** The part of a client that is wrapped. */
type ClientQuery = (text: unknown, values?: unknown, callback?: unknown) => unknown;

const HASH_DIGITS = 24;
/**
 * Milliseconds for which Postgres may keep plans, at first and at most. A plan that was made while a table was small can read all of
 * it, and would go on doing so, however much it has grown, until somebody analyses it.
 */
const PLANS_LAST = { first: 500, most: 10_000 };

/**
 * Lets a client give statements with parameters a name, the same for the same text, so that Postgres parses each once a
 * session and plans it a few times (PostgreSQL, PREPARE, "Notes").
 */
function nameStatements(client: pg.ClientBase, which: 'all' | 'kept'): void {
  const query = client.query.bind(client) as ClientQuery;
  const names = new Map<string, string>();
  const nameOf = (text: string): string => {
    const name =
      names.get(text) ?? `smtp_relay_${createHash('sha256').update(text).digest('hex').slice(0, HASH_DIGITS)}`;
    names.set(text, name);
    return name;
  };
  let plansLast = PLANS_LAST.first;
  let plansUntil = performance.now() + plansLast;
  const dropOldPlans = (): void => {
    const now = performance.now();
    if (now < plansUntil) return;
    plansLast = Math.min(2 * plansLast, PLANS_LAST.most);
    plansUntil = now + plansLast;
    query('discard plans', () => {});
  };
  const named: ClientQuery = (statement, values, callback) => {
    if (isKept(statement)) {
      dropOldPlans();
      return query({ ...statement, name: nameOf(statement.text) }, callback);
    }
    return which === 'all' && typeof statement === 'string' && Array.isArray(values)
      ? query({ name: nameOf(statement), text: statement, values }, callback)
      : query(statement, values, callback);
  };
  client.query = named as typeof client.query;
}

type PoolQuery = (...args: unknown[]) => unknown;

const MOST_TRIES = 5;
/** Milliseconds at most after the first try, more after each further one. */
const CONFLICT_PAUSE = 5;

/**
 * Has a pool repeat single statements that the server rolled back only because others were in the way (`isConflict`), as it
 * may where an installation's default is a stricter isolation. A statement of a transaction is not repeated by itself.
 */
function repeatConflicts(pool: pg.Pool): void {
  const query = pool.query.bind(pool) as PoolQuery;
  const patient = async (...args: unknown[]): Promise<unknown> => {
    for (let tries = 1; ; tries++) {
      try {
        return await query(...args);
      } catch (error) {
        if (tries === MOST_TRIES || !isConflict(error)) throw error;
      }
      await delay(Math.random() * CONFLICT_PAUSE * tries);
    }
  };
  // One with a callback, or that is an object of its own such as a cursor, is its caller's to repeat.
  const isPlain = (args: readonly unknown[]): boolean =>
    args.every(arg => typeof arg === 'string' || Array.isArray(arg) || isKept(arg));
  pool.query = ((...args: unknown[]) => (isPlain(args) ? patient(...args) : query(...args))) as typeof pool.query;
}

/** Milliseconds in which it is said once. */
const QUIET = 10_000;

/**
 * After a failover the address leads to another server, but connections that are open stay with the old one. When a
 * statement is refused because the server is read-only, all connections made so far are replaced: idle ones at once, the
 * others as soon as they come back.
 */
function dropWhenReadOnly(pool: pg.Pool, logger: Logger): void {
  const open = new Set<pg.PoolClient>();
  const stale = new WeakSet<pg.PoolClient>();
  let saidAt = Number.NEGATIVE_INFINITY;

  function drop(): void {
    for (const client of open) stale.add(client);
    open.clear();
    for (let idle = pool.idleCount; idle > 0; idle -= 1) {
      // A released client that is ending is not kept.
      pool.connect().then(
        client => client.release(),
        error => logger.debug({ err: error }, 'no connection to replace'),
      );
    }
    if (performance.now() - saidAt < QUIET) return;
    saidAt = performance.now();
    logger.warn('the database is read-only, as after a failover; its connections are replaced');
  }

  pool.on('connect', client => {
    open.add(client);
    // No event of the client tells of statements that fail.
    client.connection.on('errorMessage', ({ code }: { readonly code?: string }) => {
      if (code === READ_ONLY && open.has(client)) drop();
    });
  });
  pool.on('release', (_error, client) => {
    if (stale.has(client)) client.end().catch(error => logger.debug({ err: error }, 'connection did not end well'));
  });
  pool.on('remove', client => open.delete(client));
}

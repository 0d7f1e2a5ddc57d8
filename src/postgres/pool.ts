import type pg from 'pg';
import type { Logger } from '../observability/log.ts';
import { DatabaseClient, type DatabaseUrl } from './client.ts';
import { dropWhenReadOnly } from './demotion.ts';
import { nameStatements } from './named-statements.ts';
import { PatientPool } from './patient-pool.ts';
import { repeatConflicts } from './repeat-conflicts.ts';

export interface PoolOptions {
  readonly databaseUrl: DatabaseUrl;
  /** Connections at most. */
  readonly poolSize: number;
  /** Milliseconds to wait for a connection, whether a new one or one that becomes free, here or at the server; 0 waits for ever. */
  readonly connectTimeout: number;
  /** Milliseconds after which a statement is cancelled; 0 for no limit. */
  readonly statementTimeout: number;
  /** Let Postgres keep statements for the next time; not through a pooler that gives each transaction another session. */
  readonly preparedStatements?: boolean;
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
      await client.query(PREPARE_SESSION, [times.statement, processID ?? 0, times.idle]);
      if (options.preparedStatements) nameStatements(client);
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

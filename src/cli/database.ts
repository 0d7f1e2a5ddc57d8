import type pg from 'pg';
import { databaseLogin } from '../config/derived.ts';
import { loadConfig } from '../config/load.ts';
import { createLogger } from '../observability/log.ts';
import { createPool } from '../postgres/pool.ts';
import type { CliContext } from './context.ts';

/** Runs a command's work on the configured database, and hangs up after it. */
export async function withDatabase<T>(context: CliContext, work: (pool: pg.Pool) => Promise<T>): Promise<T> {
  const { config } = loadConfig(context.env, { checkTlsFiles: false });
  // A lost connection is the error of the query that needed it; nothing else here would be news.
  const logger = createLogger({ level: 'silent', format: 'json' });
  const pool = createPool({ ...config.database, databaseUrl: databaseLogin(config), poolSize: 1 }, logger);
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

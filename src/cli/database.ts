import type { Command } from 'commander';
import type pg from 'pg';
import { databaseLogin } from '../config/derived.ts';
import { loadConfig } from '../config/load.ts';
import { createLogger } from '../observability/log.ts';
import { StoreError } from '../postgres/errors.ts';
import { createPool } from '../postgres/pool.ts';
import { PIPELINES, type Pipeline, readPipeline } from '../store/schema/pipeline.ts';
import type { CliContext } from './command.ts';

/** Runs a command's work on the configured database, and hangs up after it. @param poolSize statements at the same time */
export async function withDatabase<T>(
  context: CliContext,
  work: (pool: pg.Pool) => Promise<T>,
  { poolSize = 1 }: { readonly poolSize?: number } = {},
): Promise<T> {
  const { config } = loadConfig(context.env, { checkTlsFiles: false });
  // A lost connection is the error of the query that needed it; nothing else here would be news.
  const logger = createLogger({ level: 'silent', format: 'json' });
  const pool = createPool({ ...config.database, databaseUrl: databaseLogin(config), poolSize }, logger);
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

/** Which pipeline the database is used with: the recorded one, or where none is, what is configured. */
export async function pipelineOf(context: CliContext, pool: pg.Pool): Promise<Pipeline> {
  const recorded = await readPipeline(pool);
  const known = PIPELINES.find(pipeline => pipeline === recorded);
  return known ?? loadConfig(context.env, { checkTlsFiles: false }).config.pipeline;
}

/** Refuses all commands below `command` on an OpenSend's database. @param why a sentence that says what to do */
export function onlyStandalone(command: Command, context: CliContext, why: string): void {
  command.hook('preAction', async () => {
    if ((await withDatabase(context, pool => pipelineOf(context, pool))) === 'opensend') {
      throw new StoreError('invalid', why);
    }
  });
}

const WILDCARDS: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** Where a program of this machine reaches what listens on an address. */
export function localAddress(host: string): string {
  return WILDCARDS[host] ?? host;
}

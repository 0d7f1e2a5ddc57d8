import type { Command } from 'commander';
import type pg from 'pg';
import { loadConfig } from '../config/load.ts';
import { StoreError } from '../postgres/errors.ts';
import { PIPELINES, type Pipeline, readPipeline } from '../store/schema/pipeline.ts';
import type { CliContext } from './context.ts';
import { withDatabase } from './database.ts';

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

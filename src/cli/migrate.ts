import { type Command, Option } from 'commander';
import { migrationsLogin } from '../config/derived.ts';
import { type LoadedConfig, loadConfig } from '../config/load.ts';
import { expectedSchemaVersion, migrate } from '../store/schema/migrate.ts';
import { PIPELINES, type Pipeline } from '../store/schema/pipeline.ts';
import { type CliContext, examples, type JsonOptions, jsonOption, print } from './command.ts';
import { createProgress } from './progress.ts';

interface MigrateCommandOptions extends JsonOptions {
  readonly setPipeline?: Pipeline;
}

export function addMigrateCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('migrate')
      .description(
        'Bring the database schema up to date; the tables shared with OpenSend are made in the pipeline standalone only. ' +
          'Any number of these may run at once',
      )
      .addOption(new Option('--set-pipeline <pipeline>', 'what this database is used with').choices(PIPELINES))
      .addOption(jsonOption())
      .action(async (options: MigrateCommandOptions) => {
        // A job that only migrates needs to know no other way to the database than its own.
        const loaded = loadConfig(context.env, { checkTlsFiles: false, require: ['migrationsDatabaseUrl'] });
        const progress = createProgress(context);
        const { applied, pipeline } = await migrate(migrationsLogin(loaded.config), {
          ...wantedPipeline(options, loaded),
          connectTimeout: loaded.config.database.connectTimeout,
          onStep: progress,
        }).finally(progress.end);
        const version = await expectedSchemaVersion();
        print(context, options, { applied, version, pipeline }, describe(applied, version, pipeline));
      }),
    'migrate',
    'migrate --set-pipeline standalone',
  );
}

/** The default is nobody's word: it may only mean that nobody has said whose database this is. */
function wantedPipeline({ setPipeline }: MigrateCommandOptions, { config, settings }: LoadedConfig) {
  if (setPipeline) return { pipeline: setPipeline, override: true };
  const isStated = settings.some(({ name, source }) => name === 'pipeline' && source !== 'default');
  return isStated ? { pipeline: config.pipeline } : {};
}

function describe(applied: readonly string[], version: number, pipeline: string | null): string {
  const done = applied.length === 0 ? 'Nothing to do' : `Applied ${applied.join(', ')}`;
  const used = pipeline === null ? 'no pipeline yet; the first relay records its own' : `the pipeline ${pipeline}`;
  return `${done}: the schema is at version ${version}, with ${used}.\n`;
}

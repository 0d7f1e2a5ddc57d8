import { type Command, Option } from 'commander';
import { migrationsLogin } from '../config/database-login.ts';
import { loadConfig } from '../config/load.ts';
import { expectedSchemaVersion, migrate } from '../store/migrate.ts';
import { claimPipeline, PIPELINES, type Pipeline, readPipeline, setPipeline } from '../store/pipeline.ts';
import type { CliContext } from './context.ts';
import { withLogin } from './database.ts';
import { examples, type JsonOptions, jsonOption } from './options.ts';
import { print } from './output.ts';

interface MigrateCommandOptions extends JsonOptions {
  readonly setPipeline?: Pipeline;
}

export function addMigrateCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('migrate')
      .description(
        "Bring the database schema up to date; an OpenSend installation's tables stay as they are. Any number of these " +
          'may run at once',
      )
      .addOption(new Option('--set-pipeline <pipeline>', 'what this database is used with').choices(PIPELINES))
      .addOption(jsonOption())
      .action(async (options: MigrateCommandOptions) => {
        // A job that only migrates needs to know no other way to the database than its own.
        const { config } = loadConfig(context.env, { checkTlsFiles: false, require: ['migrationsDatabaseUrl'] });
        const login = migrationsLogin(config);
        const { applied } = await migrate(login, { connectTimeout: config.database.connectTimeout });
        const pipeline = await withLogin(config, login, async pool => {
          if (options.setPipeline) await setPipeline(pool, options.setPipeline);
          // Else a worker that starts before the first relay would not know whose database it is. The other pipeline is the
          // default, so it may only mean that nobody has said which.
          else if (config.pipeline === 'standalone') await claimPipeline(pool, config.pipeline);
          return readPipeline(pool);
        });
        const version = await expectedSchemaVersion();
        print(context, options, { applied, version, pipeline }, describe(applied, version, pipeline));
      }),
    'migrate',
    'migrate --set-pipeline standalone',
  );
}

function describe(applied: readonly string[], version: number, pipeline: string | null): string {
  const done = applied.length === 0 ? 'Nothing to do' : `Applied ${applied.join(', ')}`;
  const used = pipeline === null ? 'no pipeline yet; the first relay records its own' : `the pipeline ${pipeline}`;
  return `${done}: the schema is at version ${version}, with ${used}.\n`;
}

import { Command } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import { addConfigCommands } from './config.ts';
import type { CliContext } from './context.ts';
import { addDemoPostgresCommand } from './demo-postgres.ts';
import { addDevCommand } from './dev.ts';
import { addDomainsCommands } from './domains.ts';
import { addEmailsCommands } from './emails.ts';
import { EXIT_CODES_HELP, explain } from './errors.ts';
import { addKeysCommands } from './keys.ts';
import { addLinksCommands } from './links.ts';
import { addMigrateCommand } from './migrate.ts';
import { addRelayCommand } from './relay.ts';
import { addResourcesCommands } from './resources.ts';
import { addSuppressionsCommands } from './suppressions.ts';
import { addWebhooksCommands } from './webhooks.ts';
import { addWorkerCommand } from './worker.ts';

/**
 * Runs one command line.
 *
 * @param args what follows the program's name
 * @returns the exit code; never rejects
 */
export async function run(args: readonly string[], context: CliContext): Promise<number> {
  try {
    await createProgram(context).parseAsync(args, { from: 'user' });
    return 0;
  } catch (error) {
    const { message, exitCode } = explain(error);
    if (message !== null) context.stderr.write(`smtp-relay: ${message}\n`);
    // Read here, as the configuration may be what is wrong.
    const { SMTP_RELAY_LOG_LEVEL: level } = context.env;
    if (message !== null && level === 'debug' && error instanceof Error) context.stderr.write(`${error.stack}\n`);
    return exitCode;
  }
}

function createProgram(context: CliContext): Command {
  const program = new Command('smtp-relay')
    .version(manifest.version)
    .description('SMTP submission relay for OpenSend')
    .configureOutput({
      writeOut: text => void context.stdout.write(text),
      writeErr: text => void context.stderr.write(text),
    })
    .exitOverride()
    .showHelpAfterError('(add --help for how to use it)')
    .addHelpText('afterAll', EXIT_CODES_HELP);
  addRelayCommand(program, context);
  addWorkerCommand(program, context);
  addMigrateCommand(program, context);
  addKeysCommands(program, context);
  addDomainsCommands(program, context);
  addSuppressionsCommands(program, context);
  addWebhooksCommands(program, context);
  addLinksCommands(program, context);
  addEmailsCommands(program, context);
  addResourcesCommands(program, context);
  addConfigCommands(program, context);
  addDevCommand(program, context);
  addDemoPostgresCommand(program, context);
  return program;
}

import { Command } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import type { CliContext } from './context.ts';
import { EXIT_CODES_HELP, explain } from './errors.ts';
import { addRelayCommand } from './relay.ts';
import { addWorkerCommand } from './worker.ts';

/** Adds commands of one entry of the program to those that all have. */
export type AddCommands = (program: Command, context: CliContext) => void;

/**
 * Runs one command line.
 *
 * @param args what follows the program's name
 * @param further commands of this entry alone, after all others
 * @returns the exit code; never rejects
 */
export async function run(
  args: readonly string[],
  context: CliContext,
  further: readonly AddCommands[] = [],
): Promise<number> {
  try {
    await (await createProgram(args, context, further)).parseAsync(args, { from: 'user' });
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

async function createProgram(
  args: readonly string[],
  context: CliContext,
  further: readonly AddCommands[],
): Promise<Command> {
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
  const [name] = args;
  // What only the others need would stay in memory for as long as a server runs.
  if (name === 'relay') addRelayCommand(program, context);
  else if (name === 'worker') addWorkerCommand(program, context);
  else {
    (await import('./commands.ts')).addCommands(program, context);
    for (const add of further) add(program, context);
  }
  return program;
}

import { Command } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import type { Logger } from '../observability/log.ts';
import type { CliContext } from './command.ts';
import { type CommandLoaders, loadCommands } from './commands.ts';
import { EXIT_CODES_HELP, explain } from './errors.ts';

/**
 * Runs the command line of this process, and sets its exit code.
 *
 * @param further commands of this entry alone
 * @param own what else this entry has of its own
 */
export async function runProcess(further: CommandLoaders = {}, own: Pick<CliContext, 'loadPages'> = {}): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // The reader has gone (`… | head`), which is its right.
      if (error.code !== 'EPIPE') throw error;
    });
  }

  const context: CliContext = {
    env: process.env,
    // Opened when it is read: a server has none.
    get stdin() {
      return process.stdin;
    },
    stdout: process.stdout,
    stderr: process.stderr,
    takeSignals,
    onHangUp,
    surviveFaults,
    ...own,
  };

  // The first process of a container gets only signals that it handles (pid_namespaces(7)), so a command could not be ended.
  if (process.pid === 1) for (const name of SIGNALS) process.on(name, end);

  process.exitCode = await run(process.argv.slice(2), context, further);
  // Nothing should keep the process alive by now, and nothing that does is waited for.
  setTimeout(() => process.exit(), 1_000).unref();
}

/**
 * Runs one command line.
 *
 * @param args what follows the program's name
 * @param further commands of this entry alone, after all others
 * @returns the exit code; never rejects
 */
export async function run(args: readonly string[], context: CliContext, further: CommandLoaders = {}): Promise<number> {
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

async function createProgram(args: readonly string[], context: CliContext, further: CommandLoaders): Promise<Command> {
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
  for (const add of await loadCommands(args, further)) add(program, context);
  return program;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Ends the process as a signal does that nobody handles. */
function end(_name: NodeJS.Signals, number: number): void {
  process.exit(128 + number);
}

/** Further signals change nothing: stopping is bounded in time, and npm repeats the Ctrl-C that the terminal has sent. */
function takeSignals(): AbortSignal {
  const stopping = new AbortController();
  for (const name of SIGNALS) process.off(name, end).on(name, () => stopping.abort());
  return stopping.signal;
}

/** SIGHUP has a server read again what may have changed, as other servers take it. Closing the terminal ends no server either. */
function onHangUp(listener: () => void): void {
  process.removeAllListeners('SIGHUP').on('SIGHUP', listener);
}

/**
 * No client and no dependency may end the process: what nobody caught is a mistake in this program, and is reported as
 * one, but whoever else is connected is still served. What was acknowledged is committed; memory holds no promise.
 */
function surviveFaults(logger: Logger): void {
  process.on('uncaughtException', error => logger.fatal({ err: error }, 'uncaught exception'));
  process.on('unhandledRejection', reason => logger.fatal({ err: reason }, 'unhandled rejection'));
}

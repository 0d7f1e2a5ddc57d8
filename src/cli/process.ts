import type { Logger } from '../observability/log.ts';
import type { CliContext } from './context.ts';
import { type AddCommands, run } from './program.ts';

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

/** As other servers take it: read again what may have changed. The terminal that is closed ends no server either. */
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

/**
 * Runs the command line of this process, and sets its exit code.
 *
 * @param further commands of this entry alone
 */
export async function runProcess(further: readonly AddCommands[] = []): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // The reader has gone (`… | head`), which is its right.
      if (error.code !== 'EPIPE') throw error;
    });
  }

  const context: CliContext = {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    takeSignals,
    onHangUp,
    surviveFaults,
  };

  // The first process of a container gets only signals that it handles (pid_namespaces(7)), so a command could not be ended.
  if (process.pid === 1) for (const name of SIGNALS) process.on(name, end);

  process.exitCode = await run(process.argv.slice(2), context, further);
  // By now nothing should be left that keeps the process alive; what does is not waited for.
  setTimeout(() => process.exit(), 1_000).unref();
}

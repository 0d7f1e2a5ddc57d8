import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { createLogger } from '../observability/log.ts';
import type { CliContext } from './context.ts';
import { examples } from './options.ts';
import { runUntilAborted, STOP_SLACK } from './running.ts';

export function addWorkerCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('worker')
      .description(
        'Deliver what the relay has accepted, with events, tracking and webhooks; runs until SIGTERM or Ctrl-C',
      )
      .action(async () => {
        const { config, warnings } = loadConfig(context.env, { checkTlsFiles: false });
        const logger = createLogger({ level: config.logLevel, format: config.logFormat });
        context.surviveFaults(logger);
        const signal = context.takeSignals();
        for (const warning of warnings) logger.warn({ room: 'config' }, warning);
        // Loaded here, so that the other commands start without the worker's libraries.
        const { createWorker } = await import('../worker.ts');
        const worker = await createWorker(config, { logger });
        await runUntilAborted(worker, signal, config.shutdownTimeout + STOP_SLACK);
      }),
    'worker',
    'config check && smtp-relay worker',
  );
}

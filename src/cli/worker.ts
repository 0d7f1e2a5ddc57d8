import type { Command } from 'commander';
import { loadLiveConfig } from '../config/live.ts';
import { createLogger } from '../observability/log.ts';
import { startTracing } from '../observability/start-tracing.ts';
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
        const { live, warnings } = await loadLiveConfig(context.env, { checkTlsFiles: false });
        const { logFormat: format, shutdownTimeout } = live.current;
        const logger = createLogger({ level: () => live.current.logLevel, format });
        context.surviveFaults(logger);
        const signal = context.takeSignals();
        context.onHangUp(() => {
          logger.info({ room: 'config' }, 'SIGHUP: configuration is looked at again');
          live.requestReload();
        });
        await using tracing = await startTracing({ env: context.env, role: 'worker', logger });
        for (const warning of warnings) logger.warn({ room: 'config' }, warning);
        // Loaded here, so that the other commands start without the worker's libraries.
        const { createWorker } = await import('../worker.ts');
        const worker = await createWorker(live, { logger, tracer: tracing.tracer });
        await runUntilAborted(worker, signal, () => live.current.drainDelay + shutdownTimeout + STOP_SLACK);
      }),
    'worker',
    'config check && smtp-relay worker',
  );
}

import type { Command } from 'commander';
import { loadLiveConfig } from '../config/live.ts';
import { createLogger } from '../observability/log.ts';
import { startTracing } from '../observability/start-tracing.ts';
import type { CliContext } from './context.ts';
import { examples } from './options.ts';
import { runUntilAborted, STOP_SLACK } from './running.ts';

export function addRelayCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('relay')
      .description('Accept messages by SMTP, store them and publish their send jobs; runs until SIGTERM or Ctrl-C')
      .action(async () => {
        const { live, warnings } = await loadLiveConfig(context.env);
        const { logFormat: format, shutdownTimeout } = live.current;
        const logger = createLogger({ level: () => live.current.logLevel, format });
        context.surviveFaults(logger);
        const signal = context.takeSignals();
        context.onHangUp(() => {
          logger.info({ room: 'config' }, 'SIGHUP: configuration and certificates are looked at again');
          live.requestReload();
        });
        await using tracing = await startTracing({ env: context.env, role: 'relay', logger });
        for (const warning of warnings) logger.warn({ room: 'config' }, warning);
        // Loaded here, so that the other commands start without the relay's libraries.
        const { createApp } = await import('../relay.ts');
        const app = await createApp(live, { logger, tracer: tracing.tracer });
        await runUntilAborted(app, signal, () => live.current.drainDelay + shutdownTimeout + STOP_SLACK);
      }),
    'relay',
    'config check && smtp-relay relay',
  );
}

import type { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { createLogger } from '../observability/log.ts';
import type { CliContext } from './context.ts';
import { examples } from './options.ts';
import { runUntilAborted, STOP_SLACK } from './running.ts';

export function addRelayCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('relay')
      .description('Accept messages by SMTP, store them and publish their send jobs; runs until SIGTERM or Ctrl-C')
      .action(async () => {
        const { config, warnings } = loadConfig(context.env);
        const logger = createLogger({ level: config.logLevel, format: config.logFormat });
        context.surviveFaults(logger);
        const signal = context.takeSignals();
        for (const warning of warnings) logger.warn({ room: 'config' }, warning);
        // Loaded here, so that the other commands start without the relay's libraries.
        const { createApp } = await import('../app.ts');
        const app = await createApp(config, { logger });
        await runUntilAborted(app, signal, config.shutdownTimeout + STOP_SLACK);
      }),
    'relay',
    'config check && smtp-relay relay',
  );
}

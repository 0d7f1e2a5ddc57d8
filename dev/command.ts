import type { Command } from 'commander';
import { type CliContext, examples } from '../src/cli/command.ts';

export function addDevCommand(program: Command, context: CliContext): void {
  examples(
    program
      .command('dev')
      .description(
        'Run everything on this machine: Postgres, queues, a certificate, a demo key, the relay and the worker; messages and state are kept in .dev/',
      )
      .action(async () => {
        // Loaded here, because its parts are development dependencies, which an installation does not have.
        const { runDev } = await import('./run.ts');
        const { env, stdout, surviveFaults } = context;
        await runDev({ env, stdout, signal: context.takeSignals(), surviveFaults });
      }),
    'dev',
  );
}

import type { Command } from 'commander';
import type { CliContext } from '../../src/cli/command.ts';

/** Hidden: it is for the chart's demonstration, and only the image's target `demo` has what it runs. */
export function addDemoPostgresCommand(program: Command, context: CliContext): void {
  program
    .command('demo-postgres', { hidden: true })
    .description(
      'Run a Postgres on port 5432 for a demonstration; DEMO_POSTGRES_DIRECTORY keeps its data, DEMO_POSTGRES_PASSWORD is its password',
    )
    .action(async () => {
      // Loaded here, because the programs are a development dependency.
      const { runDemoPostgres } = await import('./demo.ts');
      await runDemoPostgres({ env: context.env, signal: context.takeSignals() });
    });
}

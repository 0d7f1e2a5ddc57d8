import type { CommandLoaders } from '../src/cli/commands.ts';

/** What a checkout has beside the commands of the relay, in the order in which the help lists them. */
export const DEV_COMMANDS: CommandLoaders = {
  dev: async () => (await import('./command.ts')).addDevCommand,
  'demo-postgres': async () => (await import('./postgres/command.ts')).addDemoPostgresCommand,
};

import type { Command } from 'commander';
import type { CliContext } from './command.ts';

/** Adds one command to the program, with those below it. */
type AddCommand = (program: Command, context: CliContext) => void;

/** What loads each command, by its name. */
export type CommandLoaders = Readonly<Record<string, () => Promise<AddCommand>>>;

/** All commands, in the order in which the help lists them. */
const COMMANDS: CommandLoaders = {
  relay: async () => (await import('./servers.ts')).addRelayCommand,
  worker: async () => (await import('./servers.ts')).addWorkerCommand,
  migrate: async () => (await import('./migrate.ts')).addMigrateCommand,
  doctor: async () => (await import('./doctor.ts')).addDoctorCommand,
  send: async () => (await import('./send/send.ts')).addSendCommand,
  keys: async () => (await import('./keys/keys.ts')).addKeysCommands,
  domains: async () => (await import('./domains/domains.ts')).addDomainsCommands,
  suppressions: async () => (await import('./suppressions/suppressions.ts')).addSuppressionsCommands,
  webhooks: async () => (await import('./webhooks/webhooks.ts')).addWebhooksCommands,
  links: async () => (await import('./links.ts')).addLinksCommands,
  emails: async () => (await import('./emails/emails.ts')).addEmailsCommands,
  sessions: async () => (await import('./sessions.ts')).addSessionsCommands,
  trace: async () => (await import('./trace.ts')).addTraceCommand,
  resources: async () => (await import('./resources/resources.ts')).addResourcesCommands,
  config: async () => (await import('./config/config.ts')).addConfigCommands,
  completion: async () => (await import('./completion/completion.ts')).addCompletionCommand,
};

/**
 * The commands that a command line needs: the one that it names, or all. A person would wait for the libraries of the others, and a
 * server keep them in memory.
 *
 * @param args what follows the program's name
 * @param further commands of one entry of the program, after those that all have
 */
export async function loadCommands(args: readonly string[], further: CommandLoaders): Promise<AddCommand[]> {
  const all = { ...COMMANDS, ...further };
  const [name = ''] = args;
  if (name === '--version' || name === '-V') return [];
  // What completes commands is made from all of them.
  const named = name !== 'completion' && Object.hasOwn(all, name) ? all[name] : undefined;
  return Promise.all((named ? [named] : Object.values(all)).map(load => load()));
}

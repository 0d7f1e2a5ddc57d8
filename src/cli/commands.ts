import type { Command } from 'commander';
import type { CliContext } from './command.ts';
import { addCompletionCommand } from './completion/completion.ts';
import { addConfigCommands } from './config/config.ts';
import { addDoctorCommand } from './doctor.ts';
import { addDomainsCommands } from './domains/domains.ts';
import { addEmailsCommands } from './emails/emails.ts';
import { addKeysCommands } from './keys/keys.ts';
import { addLinksCommands } from './links.ts';
import { addMigrateCommand } from './migrate.ts';
import { addResourcesCommands } from './resources/resources.ts';
import { addSendCommand } from './send/send.ts';
import { addRelayCommand, addWorkerCommand } from './servers.ts';
import { addSessionsCommands } from './sessions.ts';
import { addSuppressionsCommands } from './suppressions/suppressions.ts';
import { addTraceCommand } from './trace.ts';
import { addWebhooksCommands } from './webhooks/webhooks.ts';

/** Adds all commands, in the order in which the help lists them. */
export function addCommands(program: Command, context: CliContext): void {
  addRelayCommand(program, context);
  addWorkerCommand(program, context);
  addMigrateCommand(program, context);
  addDoctorCommand(program, context);
  addSendCommand(program, context);
  addKeysCommands(program, context);
  addDomainsCommands(program, context);
  addSuppressionsCommands(program, context);
  addWebhooksCommands(program, context);
  addLinksCommands(program, context);
  addEmailsCommands(program, context);
  addSessionsCommands(program, context);
  addTraceCommand(program, context);
  addResourcesCommands(program, context);
  addConfigCommands(program, context);
  addCompletionCommand(program, context);
}

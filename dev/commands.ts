import type { AddCommands } from '../src/cli/program.ts';
import { addDevCommand } from './command.ts';
import { addDemoPostgresCommand } from './postgres/command.ts';

/** What a checkout has beside the commands of the relay, in the order in which the help lists them. */
export const DEV_COMMANDS: readonly AddCommands[] = [addDevCommand, addDemoPostgresCommand];

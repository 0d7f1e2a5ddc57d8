import { runProcess } from '../src/cli/program.ts';
import { DEV_COMMANDS } from './commands.ts';

/* The program as a checkout has it: all commands of `src/main.ts`, and those that run everything on one machine. */
await runProcess(DEV_COMMANDS);

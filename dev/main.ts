import { runProcess } from '../src/cli/program.ts';
import { DEV_COMMANDS } from './commands.ts';

/* The program as a checkout has it: all commands of `src/main.ts`, those that run everything on one machine, and pages built when they are wanted. */
await runProcess(DEV_COMMANDS, { loadPages: async () => (await import('./pages.ts')).currentPages() });

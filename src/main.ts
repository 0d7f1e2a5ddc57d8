import { runProcess } from './cli/program.ts';

await runProcess();

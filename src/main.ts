import { runProcess } from './cli/process.ts';

await runProcess();

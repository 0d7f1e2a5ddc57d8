import process from 'node:process';
import { runDev } from '../../dev/run.ts';

/* Runs dev as dev/main.ts does, but with its state in a folder of the test's: node dev-process.ts dev <folder> */
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
const directory = String(process.argv[3]);
try {
  await runDev({
    env: process.env,
    stdout: process.stdout,
    signal: stopping.signal,
    surviveFaults: () => {},
    directory,
  });
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}

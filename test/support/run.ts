import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { argv, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';

/*
 * npm test [-- <option of node --test>… <file>…]
 *
 * All test files, or only those named, each in a process of its own, on one Postgres and one SQS for the whole run.
 */
const ALL = 'test/**/*.test.ts';
/** Far more than any test takes on a slow machine. */
const LIMIT_MS = 300_000;

const given = argv.slice(2);
const files = given.some(argument => !argument.startsWith('-')) ? [] : [ALL];
const setup = fileURLToPath(new URL('./setup.ts', import.meta.url));
const flags = ['--test', `--test-global-setup=${setup}`, `--test-timeout=${LIMIT_MS}`];
const child = spawn(execPath, [...flags, ...given, ...files], { stdio: 'inherit' });

// Interrupted, we wait for the runner's clean-up. Whatever it leaves undone, Postgres' guard does.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
});

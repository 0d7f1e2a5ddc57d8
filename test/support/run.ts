import { spawn } from 'node:child_process';
import { availableParallelism, constants } from 'node:os';
import { argv, env, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { COMPILE_CACHE } from '../../bin/node24.js';

/*
 * npm test [-- <option of node --test>… <file>…]
 *
 * All test files, or only those named, some side by side, each in a process of its own, on one Postgres and one SQS for
 * the whole run.
 */
const ALL = 'test/**/*.test.ts';
/** Far more than any test takes on a slow machine. */
const LIMIT_MS = 300_000;
/** Files that run at once: more than there are cores, since half of their time they wait; no more than one Postgres has connections for. */
const SIDE_BY_SIDE = Math.min(availableParallelism() + 2, 8);
const given = argv.slice(2);
const files = given.some(argument => !argument.startsWith('-')) ? [] : [ALL];
const setup = fileURLToPath(new URL('./setup.ts', import.meta.url));
const limits = [`--test-concurrency=${SIDE_BY_SIDE}`, `--test-timeout=${LIMIT_MS}`];
const child = spawn(execPath, ['--test', `--test-global-setup=${setup}`, ...limits, ...given, ...files], {
  stdio: 'inherit',
  env: { NODE_COMPILE_CACHE: COMPILE_CACHE, ...env },
});

// Interrupted, we wait for the runner's clean-up. Whatever it leaves undone, Postgres' guard does.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
child.on('exit', (code, signal) => {
  process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0);
});

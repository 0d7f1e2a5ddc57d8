import { spawn } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import * as module from 'node:module';
import { constants } from 'node:os';
import { resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

/*
 * Runs the project's TypeScript whatever Node is installed: on this Node where it is recent enough, else on the one that
 * comes as a development dependency. Plain JavaScript, because an older Node reads it.
 *
 *     node bin/node24.js <file> [<argument>…]
 */

/** The first Node that runs TypeScript without a flag and without a warning. */
const NEEDED = { major: 24, minor: 12 };

/**
 * glibc raises the size from which it maps memory, and gives it back, by itself; then the memory of large messages stays
 * with the process. A fixed size (128 KiB) keeps a relay under load about 50 MB smaller. Other C libraries ignore it.
 */
export const MEMORY_ENVIRONMENT = { MALLOC_MMAP_THRESHOLD_: String(128 * 1024) };

/**
 * Where Node keeps modules as it has compiled them: a start is a third quicker, and a relay 10 to 20 MB smaller, since
 * nothing reads TypeScript. `npm ci` removes it; a folder that cannot be written is done without.
 */
export const COMPILE_CACHE = fileURLToPath(new URL('../node_modules/.cache/compile', import.meta.url));

/** Runs a file with our arguments, standard streams and signals; this process ends as it ends. */
export async function runOnNode24(file, args) {
  if (isRecent()) {
    // The variable, too: threads and child processes know nothing of the call.
    process.env.NODE_COMPILE_CACHE ??= COMPILE_CACHE;
    module.enableCompileCache(process.env.NODE_COMPILE_CACHE);
    // In place: modules that import { argv } hold this very array.
    process.argv.splice(1, Infinity, file, ...args);
    await import(pathToFileURL(file).href);
    return;
  }
  const node = fileURLToPath(new URL('../node_modules/node/bin/node', import.meta.url));
  if (existsSync(node)) runChild(node, [file, ...args]);
  else
    fail(
      `this needs Node ${NEEDED.major}.${NEEDED.minor} or later and runs on ${process.versions.node}: install a later one, or run "npm ci --ignore-scripts=false", which brings it`,
    );
}

function isRecent() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  return major > NEEDED.major || (major === NEEDED.major && minor >= NEEDED.minor);
}

function runChild(node, args) {
  const child = spawn(node, args, {
    stdio: 'inherit',
    env: { ...MEMORY_ENVIRONMENT, NODE_COMPILE_CACHE: COMPILE_CACHE, ...process.env },
  });
  // A Ctrl-C reaches the child from the terminal too; the programs started here mind no repeats.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.on('error', error => fail(`cannot run ${node}: ${error.message}`));
  child.on('exit', (code, signal) => {
    if (signal === null) {
      process.exitCode = code;
      return;
    }
    // Ended by a signal: end by the same one, so that our parent sees what it would have seen without us.
    process.exitCode = 128 + constants.signals[signal];
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}

function fail(sentence) {
  console.error(`smtp-relay: ${sentence}`);
  process.exitCode = 1;
}

const isMain = process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);
if (isMain) {
  const [file, ...args] = process.argv.slice(2);
  // Not awaited: what runs in place may import this module, and would wait for itself.
  if (file) void runOnNode24(resolve(file), args);
  else fail('usage: node bin/node24.js <file> [<argument>…]');
}

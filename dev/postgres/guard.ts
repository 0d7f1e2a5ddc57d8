import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';

/**
 * Ends a Postgres whose Node process died without stopping it, even by kill -9: `read` waits on a pipe whose other end
 * only we hold, and fails when we are gone. The first line of postmaster.pid proves that the id still is this Postgres.
 */
const SCRIPT = `
pid=$1 data=$2
shift 2
if read -r released; then exit 0; fi
if [ "$(head -n 1 "$data/postmaster.pid" 2>/dev/null)" = "$pid" ]; then
  kill -INT "$pid" 2>/dev/null
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -QUIT "$pid" 2>/dev/null
fi
[ $# -eq 0 ] || rm -rf "$@"
`;

export interface Guard {
  /** Ends the guard: the Postgres has been stopped. */
  release(): Promise<void>;
}

/**
 * Guards a running Postgres until released or until this process is gone.
 *
 * @param pid of the postmaster
 * @param dataDirectory holds its postmaster.pid
 * @param remove folders to remove too when this process is gone
 */
export function guardPostgres(pid: number, dataDirectory: string, remove: readonly string[] = []): Guard {
  const parameters = ['-c', SCRIPT, 'postgres-guard', String(pid), dataDirectory, ...remove];
  // In a session of its own, so that Ctrl-C in the terminal does not end the guard before what it guards.
  const child = spawn('/bin/sh', parameters, { detached: true, cwd: '/', stdio: ['pipe', 'ignore', 'ignore'] });
  child.unref();
  (child.stdin as Socket).unref();
  return { release: () => release(child) };
}

async function release(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.ref();
  child.stdin?.end('released\n');
  await gone;
}

import { execFile } from 'node:child_process';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import pLimit from 'p-limit';
import { DEV_COMMANDS } from '../../dev/commands.ts';
import { run } from '../../src/cli/program.ts';
import { CHILD_ENVIRONMENT } from '../support/environment.ts';

export const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Tests of one file run many side by side; beyond this, none would end sooner. */
const atOnce = pLimit(4);

/** Runs the program as a shell would, with nothing in its environment but what is given. Never rejects. */
export function runCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliResult> {
  const options = { env: { ...CHILD_ENVIRONMENT, ...env }, timeout: 120_000, killSignal: 'SIGKILL' as const };
  return atOnce(
    () =>
      new Promise(resolve => {
        execFile(process.execPath, [MAIN, ...args], options, (error, stdout, stderr) => {
          const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
          resolve({ code, stdout, stderr });
        });
      }),
  );
}

/**
 * Runs a command in the test's own process, which is quicker than a new one. What a library reads from the environment by
 * itself, such as AWS credentials, is the test's own then. Never rejects.
 *
 * @param stdin what is piped in
 */
export async function runInProcess(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  stdin = '',
): Promise<CliResult> {
  const output = { stdout: '', stderr: '' };
  const collect = (name: keyof typeof output) =>
    new Writable({
      write: (chunk, _encoding, done) => {
        output[name] += chunk;
        done();
      },
    });
  const context = {
    env,
    stdin: Readable.from([stdin]),
    stdout: collect('stdout'),
    stderr: collect('stderr'),
    takeSignals: () => new AbortController().signal,
    onHangUp: () => {},
    surviveFaults: () => {},
  };
  const code = await run(args, context, DEV_COMMANDS);
  return { code, ...output };
}

/** A database's command line, in the test's own process: the answer of a command that must succeed, as text or as JSON. */
export function cliFor(databaseUrl: string) {
  // All that a file's tests do side by side is done by one thread.
  const env = { DATABASE_URL: databaseUrl, SMTP_RELAY_DATABASE_CONNECT_TIMEOUT: '60s' };
  const succeed = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runInProcess(args, env);
    if (code !== 0) throw new Error(`smtp-relay ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  };
  return {
    run: (...args: string[]) => runInProcess(args, env),
    text: (...args: string[]) => succeed(args),
    json: async (...args: string[]) => JSON.parse(await succeed([...args, '--json'])),
  };
}

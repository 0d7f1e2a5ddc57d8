import { execFile } from 'node:child_process';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { run } from '../../src/cli/program.ts';

export const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program as a shell would, with nothing in its environment but what is given. Never rejects. */
export function runCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliResult> {
  return new Promise(resolve => {
    const options = { env, timeout: 120_000, killSignal: 'SIGKILL' as const };
    execFile(process.execPath, [MAIN, ...args], options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
      resolve({ code, stdout, stderr });
    });
  });
}

/**
 * Runs a command in the test's own process, which is quicker than a new one. What a library reads from the environment by
 * itself, such as AWS credentials, is the test's own then. Never rejects.
 */
export async function runInProcess(args: readonly string[], env: Readonly<Record<string, string>>): Promise<CliResult> {
  const output = { stdout: '', stderr: '' };
  const collect = (name: keyof typeof output) =>
    new Writable({
      write: (chunk, _encoding, done) => {
        output[name] += chunk;
        done();
      },
    });
  const code = await run(args, {
    env,
    stdout: collect('stdout'),
    stderr: collect('stderr'),
    takeSignals: () => new AbortController().signal,
    onHangUp: () => {},
    surviveFaults: () => {},
  });
  return { code, ...output };
}

/** A database's command line: the answer of a command that must succeed, as text or as JSON. */
export function cliFor(databaseUrl: string) {
  const env = { DATABASE_URL: databaseUrl };
  const succeed = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await runCli(args, env);
    if (code !== 0) throw new Error(`smtp-relay ${args.join(' ')} ended with ${code}: ${stderr}`);
    return stdout;
  };
  return {
    run: (...args: string[]) => runCli(args, env),
    text: (...args: string[]) => succeed(args),
    json: async (...args: string[]) => JSON.parse(await succeed([...args, '--json'])),
  };
}

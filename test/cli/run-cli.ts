import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program as a shell would, with nothing in its environment but what is given. Never rejects. */
export function runCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliResult> {
  return new Promise(resolve => {
    const options = { env, timeout: 30_000, killSignal: 'SIGKILL' as const };
    execFile(process.execPath, [MAIN, ...args], options, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : -1) : 0;
      resolve({ code, stdout, stderr });
    });
  });
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

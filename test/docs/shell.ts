import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { env, execPath } from 'node:process';
import { text } from 'node:stream/consumers';
import { MAIN } from '../cli/run-cli.ts';

export interface Shell {
  /** Where lines are pasted; files that they write stay there. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface Pasted {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Milliseconds; a line of documentation takes seconds. */
const LIMIT = 120_000;

const THIS_CHECKOUT = `exec '${execPath}' '${MAIN}' "$@"\n`;
/** `smtp-relay`, and `npx smtp-relay`, are those of this checkout. */
const OWN = {
  'smtp-relay': `#!/bin/sh\n${THIS_CHECKOUT}`,
  npx: `#!/bin/sh\n[ "$1" = smtp-relay ] || exit 127\nshift\n${THIS_CHECKOUT}`,
};

/**
 * Programs that bash finds before all others.
 *
 * @param paths folders of programs that are wanted beside those of this machine
 * @param scripts programs by name, beside the project's own
 * @returns the value of PATH
 */
export async function programs(
  folder: string,
  paths: readonly string[] = [],
  scripts: Readonly<Record<string, string>> = {},
): Promise<string> {
  const own = join(folder, '.programs');
  await mkdir(own);
  for (const [name, text] of Object.entries({ ...OWN, ...scripts })) {
    await writeFile(join(own, name), text, { mode: 0o755 });
  }
  return [own, ...paths, env['PATH'] ?? ''].join(delimiter);
}

/** Pastes a line into a bash of its own. */
export async function paste(line: string, shell: Shell, cwd = shell.folder): Promise<Pasted> {
  const child = spawn('bash', ['-c', line], {
    cwd,
    env: { HOME: shell.folder, ...shell.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: LIMIT,
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

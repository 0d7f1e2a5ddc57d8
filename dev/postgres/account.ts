import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdtemp, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A system user, by its numbers. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * Postgres refuses to run as root. When we are root, answers the system user to run it as: `postgres` where there is one,
 * `nobody` otherwise (no user is ever added to the system). Undefined when we are not root.
 */
export function postgresAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of ['postgres', 'nobody']) {
    const [, , uid, gid] = lines.find(line => line.startsWith(`${name}:`))?.split(':') ?? [];
    // macOS writes nobody's numbers as -2; a spawned process wants them unsigned.
    if (uid && gid) return { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 };
  }
  throw new Error(
    'Postgres cannot run as root and this system has no user "postgres" or "nobody". Run as another user.',
  );
}

/** Whether the account can enter and list a folder (asked of the system, so that every ancestor and ACL counts). */
export function canEnter(account: Account | undefined, directory: string): boolean {
  if (!account) return true;
  const script = 'cd "$0" && test -r . && test -x .';
  const result = spawnSync('/bin/sh', ['-c', script, directory], { ...account, cwd: '/', stdio: 'ignore' });
  return result.status === 0;
}

/**
 * A fresh folder of the account's own, in the first of the parents that it can enter.
 *
 * @param parents candidates, best first; the system's folders for temporary files unless given
 */
export async function makeAccountDirectory(
  account: Account | undefined,
  parents: readonly string[] = [tmpdir(), '/tmp', '/var/tmp'],
): Promise<string> {
  const parent = parents.find(candidate => canEnter(account, candidate));
  if (!parent) throw new Error(`The user that Postgres runs as can enter none of ${parents.join(', ')}; set TMPDIR.`);
  const directory = await mkdtemp(join(parent, 'smtp-relay-'));
  await giveDirectory(account, directory);
  return directory;
}

/** Makes the account the only user of a folder. Its content is not touched. */
export async function giveDirectory(account: Account | undefined, directory: string): Promise<void> {
  if (account) await chown(directory, account.uid, account.gid);
  await chmod(directory, 0o700);
}

/** Gives a folder and all within to the account. */
export async function giveTree(account: Account, directory: string): Promise<void> {
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await chown(join(entry.parentPath, entry.name), account.uid, account.gid);
  }
  await giveDirectory(account, directory);
}

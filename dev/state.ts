import { mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Account, canEnter, giveDirectory, makeAccountDirectory } from './postgres/account.ts';
import { commandLine, isAlive } from './postgres/processes.ts';

/** Where `dev` keeps what outlives a run. */
export interface DevState {
  readonly directory: string;
  /** Of the account that runs Postgres; see `postgresDirectory`. */
  readonly postgres: string;
  readonly tls: string;
  readonly sqs: string;
  /** Messages that were sent, as files. */
  readonly captured: string;
  /** The folder for outcomes that the database did not take. */
  readonly journal: string;
  /** The demo owner's API key. */
  readonly keyFile: string;
  /** Signs the links of tracking. */
  readonly trackingSecretFile: string;
  /** Encrypts the signing secrets of webhooks. */
  readonly webhooksKeyFile: string;
  /** For a shell: what the other commands need. */
  readonly envFile: string;
}

/** Opens the folder, making what is missing. @throws Error in plain words when it belongs to another user */
export async function openState(directory: string, account: Account | undefined): Promise<DevState> {
  const tls = join(directory, 'tls');
  const sqs = join(directory, 'sqs');
  await mkdir(tls, { recursive: true });
  await mkdir(sqs, { recursive: true, mode: 0o700 });
  const postgres = await postgresDirectory(directory, account);
  return {
    directory,
    postgres,
    tls,
    sqs,
    captured: join(directory, 'captured'),
    journal: join(directory, 'journal'),
    keyFile: join(directory, 'api-key'),
    trackingSecretFile: join(directory, 'tracking-secret'),
    webhooksKeyFile: join(directory, 'webhooks-key'),
    envFile: join(directory, 'env'),
  };
}

/**
 * `.dev/postgres`; but where we are root in a project that Postgres' account cannot enter, a folder elsewhere that outlives
 * a restart of the machine. `.dev/postgres-directory` remembers which, for the next start and for `make clean-dev`.
 */
async function postgresDirectory(directory: string, account: Account | undefined): Promise<string> {
  const pointer = join(directory, 'postgres-directory');
  const remembered = (await readFile(pointer, 'utf8').catch(() => '')).trim();
  if (remembered && (await stat(remembered).catch(() => undefined))?.isDirectory()) return remembered;
  if (canEnter(account, directory)) {
    const inside = join(directory, 'postgres');
    await mkdir(inside, { recursive: true });
    await giveDirectory(account, inside);
    return inside;
  }
  const elsewhere = await makeAccountDirectory(account, ['/var/tmp', tmpdir(), '/tmp']);
  await writeFile(pointer, `${elsewhere}\n`);
  return elsewhere;
}

/**
 * Takes the folder for this process. A lock whose process is gone, by kill -9 or with the machine, does not count.
 *
 * @returns gives it back
 * @throws Error naming the process that has it
 */
export async function lockState(directory: string): Promise<() => Promise<void>> {
  const file = join(directory, 'lock');
  await mkdir(directory, { recursive: true });
  for (;;) {
    const handle = await open(file, 'wx').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return undefined;
      throw error;
    });
    if (handle) {
      await handle.writeFile(`${process.pid}\n`);
      await handle.close();
      return () => rm(file, { force: true });
    }
    const holder = Number(await readFile(file, 'utf8').catch(() => ''));
    if (holder !== process.pid && isDev(holder)) {
      throw new Error(
        `dev runs already, as process ${holder}: use that one, or stop it with Ctrl-C there or "kill ${holder}".`,
      );
    }
    await rm(file, { force: true });
  }
}

/** A process id in a stale lock may be another program's by now. */
function isDev(pid: number): boolean {
  return Number.isInteger(pid) && pid > 1 && isAlive(pid) && / dev( |$)/.test(commandLine(pid) ?? '');
}

import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type { Logger } from '../../observability/log.ts';
import { type Facts, hasFacts } from './facts.ts';

/** One outcome's place in the journal. Both never reject: without the journal, a worker is as good as it was before. */
export interface JournalEntry {
  /** Writes it, flushed to the disk, unless it is there. */
  keep(): Promise<void>;
  /** Removes it where it is there: the database has it. */
  forget(): Promise<void>;
}

/** An outcome that an earlier worker has left. */
export interface Left {
  readonly facts: Facts;
  readonly entry: JournalEntry;
}

export interface Journal {
  entry(facts: Facts): JournalEntry;
  /** What earlier workers could not write before they ended; maybe into another database. */
  read(): Promise<readonly Left[]>;
}

export const NO_JOURNAL: Journal = {
  entry: () => ({ keep: async () => {}, forget: async () => {} }),
  read: async () => [],
};

export interface JournalOptions {
  /** Empty: below the folder of the system for temporary files. */
  readonly directory: string;
  readonly logger: Logger;
}

/** Of the form of an entry. Others are left alone, and told of. */
const FORM = 1;
const SUFFIX = '.outcome';

/**
 * Keeps outcomes that the database has not taken yet in files, one each: whoever has sent a message and ends before it could
 * write that down, leaves it to the next worker that starts here, in place of a second copy to the recipient.
 */
export function createJournal({ directory, logger }: JournalOptions): Journal {
  const folder = directory || join(tmpdir(), 'smtp-relay-journal');
  const entryAt = (name: string, facts: Facts | null): JournalEntry => {
    let kept: Promise<void> | null = facts === null ? Promise.resolve() : null;
    const emailId = facts?.settlement.claim.emailId;
    return {
      async keep() {
        if (facts === null || !hasFacts(facts.settlement)) return;
        kept ??= write(folder, name, facts).catch(error => {
          logger.error({ err: error, emailId, folder }, 'an outcome could not be written into the journal either');
        });
        await kept;
      },
      async forget() {
        if (kept === null) return;
        await kept;
        const onFault = (error: unknown) =>
          logger.warn({ err: error, name }, 'an entry of the journal was not removed');
        await rm(join(folder, name), { force: true }).catch(onFault);
      },
    };
  };
  return {
    entry: facts => entryAt(`${randomUUID()}${SUFFIX}`, facts),
    async read() {
      // Made here, so that it is known at the start where it cannot be.
      const names = await makeFolder(folder)
        .then(() => readdir(folder))
        .catch(error => {
          const what =
            'there is no journal: outcomes that the database has not taken by the end of this worker are lost';
          logger.warn({ err: error, folder }, what);
          return [];
        });
      const found: Left[] = [];
      for (const name of names.filter(each => each.endsWith(SUFFIX))) {
        try {
          found.push({ facts: await read(join(folder, name)), entry: entryAt(name, null) });
        } catch (error) {
          logger.error({ err: error, folder, name }, 'an entry of the journal cannot be read, and is left where it is');
        }
      }
      return found;
    },
  };
}

async function write(folder: string, name: string, { settlement, worker }: Facts): Promise<void> {
  const { claim } = settlement;
  // The message itself is in the database.
  const slim = { ...settlement, claim: { ...claim, message: { ...claim.message, raw: null } } };
  await makeFolder(folder);
  const unfinished = join(folder, `${name}.new`);
  const file = await open(unfinished, 'w', 0o600);
  try {
    await file.writeFile(serialize({ form: FORM, settlement: slim, worker }));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(unfinished, join(folder, name));
  await flush(folder);
}

/** For its user only: addresses are nobody else's. */
async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
}

/** That a file has its name is written down by its folder. */
async function flush(folder: string): Promise<void> {
  const opened = await open(folder, 'r');
  try {
    await opened.sync();
  } finally {
    await opened.close();
  }
}

async function read(path: string): Promise<Facts> {
  const { form, settlement, worker } = deserialize(await readFile(path));
  if (form !== FORM) throw new Error(`its form is ${form}, and this version reads ${FORM}`);
  return { settlement, worker };
}

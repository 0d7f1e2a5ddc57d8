import { createReadStream, createWriteStream, type WriteStream } from 'node:fs';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';

/** The addresses are nobody else's business. */
const MODE = 0o600;

/**
 * Writes a file beside the one that is to be, and puts it in its place when it is whole: who is interrupted keeps what was there. What is
 * no regular file, such as a pipe, is written to as it is, and so is a file in whose folder no other can be made.
 */
export async function replaceFile(file: string, write: (output: WriteStream) => Promise<void>): Promise<void> {
  const there = await stat(file).catch(() => null);
  if (there !== null && !there.isFile()) return write(createWriteStream(file));
  const whole = await realpath(file).catch(() => file);
  const part = `${whole}.part`;
  const beside = await open(part, 'w', MODE).catch(() => null);
  if (beside === null) return write(createWriteStream(whole, { mode: MODE }));
  try {
    await write(beside.createWriteStream());
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  await putInPlace(part, whole);
}

/**
 * A file that is mounted by itself, as into a container, cannot be replaced, only written to.
 *
 * @throws Error where that fails half way; then `part` stays
 */
async function putInPlace(part: string, whole: string): Promise<void> {
  const isReplaced = await rename(part, whole).then(
    () => true,
    () => false,
  );
  if (isReplaced) return;
  try {
    await pipeline(createReadStream(part), createWriteStream(whole));
  } catch (error) {
    throw new Error(`${whole} is not whole: all of it is in ${part}`, { cause: error });
  }
  await rm(part, { force: true });
}

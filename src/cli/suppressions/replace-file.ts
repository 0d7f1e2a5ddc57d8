import { createWriteStream, type WriteStream } from 'node:fs';
import { realpath, rename, rm, stat } from 'node:fs/promises';

/** The addresses are nobody else's business. */
const MODE = 0o600;

/**
 * Writes a file beside the one that is to be, and puts it in its place when it is whole: who is interrupted keeps what was there. What is
 * no regular file, such as a pipe, is written to as it is.
 */
export async function replaceFile(file: string, write: (output: WriteStream) => Promise<void>): Promise<void> {
  const there = await stat(file).catch(() => null);
  if (there !== null && !there.isFile()) return write(createWriteStream(file));
  const whole = await realpath(file).catch(() => file);
  const part = `${whole}.part`;
  try {
    await write(createWriteStream(part, { mode: MODE }));
    await rename(part, whole);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}

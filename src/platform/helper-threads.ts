import { readdir, readFile } from 'node:fs/promises';
import { getPriority, setPriority } from 'node:os';

/**
 * How much nicer threads are than the main thread, which everybody waits for: of a core that both want they get a tenth. (Linux keeps
 * this for each thread; setpriority(2).)
 */
export const NICENESS = 10;

/** What Node calls the threads of V8's platform. */
const NAME = 'V8Worker';
const THREADS = '/proc/self/task';
const NICEST = 19;

/**
 * Has V8's helpers, which collect garbage and compile beside the main thread, give way to it, and to the database on the same machine.
 * There are four of them, all as important to the kernel as the main thread: on two cores each collection of the whole heap held
 * messages up for as long as it took. Where the main thread waits for them, it leaves them its core.
 *
 * @returns how many threads gave way: none where the system does not tell of threads, or Node calls them something else. Never rejects
 */
export async function yieldToMainThread(): Promise<number> {
  const threads = await readdir(THREADS).catch(() => []);
  const gaveWay = await Promise.all(threads.map(giveWay));
  return gaveWay.filter(Boolean).length;
}

async function giveWay(thread: string): Promise<boolean> {
  try {
    const name = await readFile(`${THREADS}/${thread}/comm`, 'utf8');
    if (!name.startsWith(NAME)) return false;
    const id = Number(thread);
    setPriority(id, Math.min(NICEST, getPriority(id) + NICENESS));
    return true;
  } catch {
    // It has ended meanwhile, or the system does not allow it.
    return false;
  }
}

import { promisify } from 'node:util';

/** As much as is used here of koffi, which calls functions of C. It need not be installed. */
interface Koffi {
  load(path: null): { func(signature: string): NativeFunction };
}

interface NativeFunction {
  (...values: number[]): number;
  readonly async: (pad: number, done: Done) => void;
}

type Done = (error: Error | null, wasGivenBack: number) => void;

/** Parameters of mallopt(3), by the numbers of glibc's <malloc.h>. */
const TRIM_THRESHOLD = -1;
const TOP_PAD = -2;
const MMAP_THRESHOLD = -3;

const KIB = 1024;

/** @returns a function of the C library; null where it has none of that name, or koffi is not installed */
async function findFunction(signature: string): Promise<NativeFunction | null> {
  try {
    // By a name that no compiler looks up: it is an optional dependency.
    const name: string = 'koffi';
    const { load } = (await import(name)) as Koffi;
    return load(null).func(signature);
  } catch {
    return null;
  }
}

/**
 * What OpenSSL has freed is in pieces between others, which glibc keeps for the process until it is asked for them. Node
 * has no way to ask: Node's own memory comes from elsewhere.
 *
 * @returns gives back to the operating system what is freed, off the main thread (malloc_trim(3)), and says whether there
 *   was anything; null where nobody can
 */
export async function findTrim(): Promise<(() => Promise<boolean>) | null> {
  const trim = await findFunction('int malloc_trim(size_t pad)');
  if (!trim) return null;
  const run = promisify(trim.async);
  return async () => (await run(0)) === 1;
}

/**
 * Node gives each connection in TLS a buffer of 64 KiB, of which an idle one uses a page. From glibc's heap it would be taken
 * where the handshake before has just freed memory, and would hold that: 17 KB of it on the average. So it is mapped by
 * itself, for which glibc must have less than that left at the end of its heap.
 *
 * @returns whether the C library heeds it
 */
export async function mapTlsBuffers(): Promise<boolean> {
  const mallopt = await findFunction('int mallopt(int parameter, int value)');
  const settings = [
    [MMAP_THRESHOLD, 64 * KIB],
    [TRIM_THRESHOLD, 64 * KIB],
    [TOP_PAD, 16 * KIB],
  ] as const;
  return mallopt !== null && settings.every(([parameter, value]) => mallopt(parameter, value) === 1);
}

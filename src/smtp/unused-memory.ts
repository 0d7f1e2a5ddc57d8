import { promisify } from 'node:util';

/** As much as is used here of koffi, which calls functions of C. It need not be installed. */
interface Koffi {
  load(path: null): { func(signature: string): { readonly async: (pad: number, done: Done) => void } };
}

type Done = (error: Error | null, wasGivenBack: number) => void;

/**
 * What OpenSSL has freed is in pieces between others, which glibc keeps for the process until it is asked for them. Node
 * has no way to ask: Node's own memory comes from elsewhere.
 *
 * @returns gives back to the operating system what is freed, off the main thread (malloc_trim(3)), and says whether there
 *   was anything; null where the C library has no such function, or koffi is not installed
 */
export async function findTrim(): Promise<(() => Promise<boolean>) | null> {
  try {
    // By a name that no compiler looks up: it is an optional dependency.
    const name: string = 'koffi';
    const { load } = (await import(name)) as Koffi;
    const trim = load(null).func('int malloc_trim(size_t pad)');
    const run = promisify(trim.async);
    return async () => (await run(0)) === 1;
  } catch {
    return null;
  }
}

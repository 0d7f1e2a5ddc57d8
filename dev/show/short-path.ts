import { isAbsolute, relative } from 'node:path';

/** A path as a person at this folder writes it: relative to it where it is inside. */
export function shortPath(path: string): string {
  const short = relative('', path);
  return short === '' || short.startsWith('..') || isAbsolute(short) ? path : short;
}

import { dirname, sep } from 'node:path';
import type { DeclaredObject } from '../tables/records.ts';
import type { Desired } from './desired.ts';

/**
 * Tells why an object that no document declares any more is not to be removed. A volume that is not mounted is an empty folder,
 * so where all documents are gone, of everything or of one folder, that is more likely than that somebody wants to be without
 * any: what they declared stays until one of them is there again, or until an operator says so (`resources.allowEmpty`).
 *
 * @returns a sentence; null where the object may go
 */
export function createKeeper({ objects, paths }: Desired): (object: DeclaredObject) => string | null {
  if (objects.length === 0) return () => sentence(paths.join(', '));
  const folders = new Set(objects.map(({ source }) => dirname(source.file)));
  // Of documents that were read elsewhere before, their folders tell nothing.
  const isBelow = (file: string): boolean =>
    paths.some(path => file.startsWith(path.endsWith(sep) ? path : path + sep));
  return ({ source }) => {
    if (source === null || !isBelow(source) || folders.has(dirname(source))) return null;
    return sentence(dirname(source));
  };
}

function sentence(place: string): string {
  return `No document is left in ${place}, so that what was declared there is kept: is a volume not mounted? Where it is meant, set resources.allowEmpty.`;
}

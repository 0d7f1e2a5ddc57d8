import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from './problem.ts';

/** What a part says of its set. */
interface Part {
  /** Another text with every change of any document of the set. */
  readonly set: string;
  /** From 0. */
  readonly part: number;
  readonly of: number;
}

/** As the Helm chart names it: one beside the documents of each ConfigMap that it splits them into. */
const PART_FILE = /^\.part-\d+\.json$/;

/**
 * Documents that are split over several ConfigMaps come into one folder, but Kubernetes brings each at a time of its own: one that
 * moves from the first to the second may be in neither for a minute. So each part says of which set it is.
 *
 * @param names of all files of the folder, hidden ones too
 * @returns null where all parts are there and of one set, or where the folder has no parts
 */
export async function findTornSet(shown: string, directory: string, names: readonly string[]): Promise<Problem | null> {
  const found = names.filter(name => PART_FILE.test(name));
  if (found.length === 0) return null;
  const parts = await Promise.all(found.map(name => readPart(join(directory, name))));
  const [first] = parts;
  const numbers = new Set(parts.map(part => part?.part));
  const isWhole =
    first !== null && first !== undefined && numbers.size === first.of && parts.every(part => part?.set === first.set);
  if (isWhole) return null;
  return {
    file: shown,
    line: 1,
    object: null,
    path: '',
    why: 'holds parts of two releases, so that nothing is removed',
    fix: 'wait a minute or two, until all of its ConfigMaps are brought up to date',
  };
}

async function readPart(path: string): Promise<Part | null> {
  try {
    const { set, part, of } = JSON.parse(await readFile(path, 'utf8'));
    return typeof set === 'string' && Number.isInteger(part) && Number.isInteger(of) ? { set, part, of } : null;
  } catch {
    return null;
  }
}

import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { whyUnreadable } from '../../config/sources/reading.ts';
import type { FileReference } from '../kinds/kind.ts';
import { FieldError } from '../problem.ts';

/** The text of a file, or why it cannot be read. */
type MountedFile = { readonly text: string } | { readonly why: string };

/** The files that documents name; undefined for one that nobody looked for, as in a check without secrets. */
export type MountedFiles = (reference: FileReference) => MountedFile | undefined;

export interface Folders {
  readonly documents: string;
  /** null: files in it are not looked for. */
  readonly secrets: string | null;
}

/** Small files in memory, as Secrets are mounted: read at once, they take a fifth of the time that the thread pool takes. */
const AT_A_TIME = 100;

/** Reads all files that documents name. */
export async function readMountedFiles(references: readonly FileReference[], folders: Folders): Promise<MountedFiles> {
  const paths = new Set(references.flatMap(reference => pathOf(reference, folders) ?? []));
  const texts = new Map<string, MountedFile>();
  for (const path of paths) {
    texts.set(path, readText(path));
    if (texts.size % AT_A_TIME === 0) await letOthersRun();
  }
  return reference => {
    const path = pathOf(reference, folders);
    return path === null ? undefined : texts.get(path);
  };
}

/** The text of the file that a document names; null where it names none, or nobody looked for it. @throws FieldError where it cannot be read */
export function textOf(reference: FileReference | null, files: MountedFiles): string | null {
  const found = reference && files(reference);
  if (!reference || !found) return null;
  if ('text' in found) return found.text;
  const fix = `mount the file ${reference.path}, or correct the path`;
  throw new FieldError(reference.field, `names a file that ${found.why}`, fix, 'FileUnreadable');
}

function pathOf({ folder, path }: FileReference, folders: Folders): string | null {
  const directory = folders[folder];
  return directory === null ? null : join(directory, path);
}

function readText(path: string): MountedFile {
  try {
    const content = readFileSync(path);
    return isUtf8(content) ? { text: content.toString('utf8') } : { why: 'is not a text file in UTF-8' };
  } catch (error) {
    return { why: whyUnreadable(error) };
  }
}

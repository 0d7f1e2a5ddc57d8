import { createHash } from 'node:crypto';
import { type Folders, readMountedTexts } from '../documents/mounted-texts.ts';
import { createDocumentReader } from '../documents/read-documents.ts';
import { type Desired, desiredOf } from './desired.ts';

/** Reads what is declared: documents, and the files that they name. Files that have not changed are not taken apart again. */
export type ReadDesired = (paths: readonly string[], folders: Folders) => Promise<Desired>;

export function createDesiredReader(): ReadDesired {
  const reader = createDocumentReader();
  return async (paths, folders) => {
    const reading = await reader.read(paths);
    const documents = reading.documents.flatMap(({ document }) => document ?? []);
    return desiredOf(reading, await readMountedTexts(documents, folders), paths);
  };
}

/** Another text as soon as anything that is declared is another. */
export function fingerprintOf({ objects, isWhole, problems }: Desired): string {
  const hash = createHash('sha256').update(`${isWhole} ${problems.length}`);
  for (const { kind, name, generation, hash: own, failure } of objects) {
    hash.update(`\n${kind}/${name} ${generation} ${own} ${failure?.message}`);
  }
  return hash.digest('base64');
}

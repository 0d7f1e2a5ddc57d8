import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A folder, and those right below it, which are mounts of their own where several ConfigMaps or Secrets are mounted side by side.
 * Mounts do not come and go while a process runs; what else does is found by polling.
 */
export function withFoldersBelow(folder: string): string[] {
  try {
    const names = readdirSync(folder).filter(name => !name.startsWith('.'));
    const paths = names.map(name => join(folder, name));
    return [folder, ...paths.filter(path => statSync(path, { throwIfNoEntry: false })?.isDirectory())];
  } catch {
    return [folder];
  }
}

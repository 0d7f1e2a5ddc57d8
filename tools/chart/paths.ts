import { fileURLToPath } from 'node:url';

/** A path below the project's folder. */
export function projectPath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

export function chartPath(path: string): string {
  return projectPath(`charts/opensend-smtp-relay/${path}`);
}

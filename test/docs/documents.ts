import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command, commandsIn } from './commands.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Folders with documents; the changelog tells of commands that were. */
const FOLDERS = ['.', 'docs', 'bench', 'charts/opensend-smtp-relay', 'k8s'];
const LEFT_OUT = 'CHANGELOG.md';

export interface Document {
  /** Relative to the project. */
  readonly name: string;
  readonly text: string;
  readonly commands: readonly Command[];
}

export async function readDocuments(): Promise<Document[]> {
  const names = await Promise.all(
    FOLDERS.map(async folder => (await readdir(join(ROOT, folder))).map(name => join(folder, name))),
  );
  const markdown = names.flat().filter(name => name.endsWith('.md') && name !== LEFT_OUT);
  return Promise.all(
    markdown.map(async name => {
      const text = await readFile(join(ROOT, name), 'utf8');
      return { name, text, commands: commandsIn(text) };
    }),
  );
}

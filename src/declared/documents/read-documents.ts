import { isUtf8 } from 'node:buffer';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as letOthersRun } from 'node:timers/promises';
import { whyUnreadable } from '../../config/sources/reading.ts';
import type { Problem } from '../problem.ts';
import { type CheckedDocument, checkDocument, createSchemaChecks } from './check.ts';
import { parseDocuments } from './yaml.ts';

/** The documents that were found in folders or files. */
export interface Reading {
  readonly documents: readonly CheckedDocument[];
  /** The files and folders that could not be read at all. */
  readonly problems: readonly Problem[];
  /** Whether some documents may be of one time and some of another, so that one that has moved is there twice, or not at all. */
  readonly isTorn: boolean;
}

/** Reads documents from files, or from all `*.yaml`, `*.yml` and `*.json` of a folder and the folders below it. */
export interface DocumentReader {
  /** @param paths of files or folders */
  read(paths: readonly string[]): Promise<Reading>;
}

const DOCUMENT_FILE = /^[^.].*\.(?:ya?ml|json)$/;
/** A relay serves clients meanwhile: so many documents, some milliseconds, at a time. */
const AT_A_TIME = 100;

/** A file that has not changed is not taken apart again. */
export function createDocumentReader(): DocumentReader {
  const checks = createSchemaChecks();
  let kept = new Map<string, { readonly content: Buffer; readonly documents: readonly CheckedDocument[] }>();

  async function readOne({ shown, path }: FoundFile, next: typeof kept): Promise<readonly CheckedDocument[]> {
    const content = await readFile(path);
    const known = kept.get(shown);
    const documents = known?.content.equals(content) ? known.documents : await takeApart(shown, content);
    next.set(shown, { content, documents });
    return documents;
  }

  async function takeApart(file: string, content: Buffer): Promise<CheckedDocument[]> {
    if (!isUtf8(content)) throw new Error('is not a text file in UTF-8');
    const documents: CheckedDocument[] = [];
    for (const parsed of parseDocuments(content.toString('utf8'))) {
      documents.push(checkDocument(file, parsed, checks));
      if (documents.length % AT_A_TIME === 0) await letOthersRun();
    }
    return documents;
  }

  return {
    async read(paths) {
      const documents: CheckedDocument[] = [];
      const problems: Problem[] = [];
      const next: typeof kept = new Map();
      const attempt = async (path: string, work: () => Promise<void>): Promise<void> => {
        await work().catch(error => void problems.push(unreadable(path, error)));
      };
      const files: FoundFile[] = [];
      const torn: Problem[] = [];
      for (const path of paths) {
        await attempt(path, async () => {
          for (const file of await findFiles(path, torn)) files.push(file);
        });
      }
      for (const file of files) {
        await attempt(file.shown, async () => {
          for (const document of await readOne(file, next)) documents.push(document);
        });
      }
      kept = next;
      return { documents, problems: [...problems, ...torn], isTorn: torn.length > 0 };
    },
  };
}

interface FoundFile {
  /** The path that people know. */
  readonly shown: string;
  readonly path: string;
}

async function findFiles(path: string, torn: Problem[]): Promise<FoundFile[]> {
  if ((await stat(path)).isDirectory()) return findIn(path, torn);
  return [{ shown: path, path }];
}

/**
 * Kubernetes replaces the files of a mounted ConfigMap all at once, by a new target of the folder's `..data` link. It is
 * followed once, so that all files are of one time.
 */
async function findIn(folder: string, torn: Problem[]): Promise<FoundFile[]> {
  const directory = await realpath(join(folder, '..data')).catch(() => folder);
  const all = await readdir(directory);
  const problem = await findTornSet(folder, directory, all);
  if (problem) torn.push(problem);
  const names = all.filter(name => !name.startsWith('.')).sort();
  const found: FoundFile[] = [];
  for (const name of names) {
    const [shown, path] = [join(folder, name), join(directory, name)];
    if ((await stat(path)).isDirectory()) found.push(...(await findIn(shown, torn)));
    else if (DOCUMENT_FILE.test(name)) found.push({ shown, path });
  }
  return found;
}

function unreadable(path: string, error: unknown): Problem {
  const hasCode = error instanceof Error && 'code' in error;
  const why = hasCode || !(error instanceof Error) ? whyUnreadable(error) : error.message;
  return {
    file: path,
    line: 1,
    object: null,
    path: '',
    why,
    fix: 'make it a readable file or folder, or correct the path',
  };
}

/** A part of a set of documents, as it describes itself. */
interface Part {
  /** Another text with every change of any document of the set. */
  readonly set: string;
  /** From 0. */
  readonly part: number;
  readonly of: number;
}

/** The Helm chart puts one beside the documents of each ConfigMap that it splits them into. */
const PART_FILE = /^\.part-\d+\.json$/;

/**
 * Documents that are split over several ConfigMaps come into one folder, but Kubernetes brings each at a time of its own: one that
 * moves from the first to the second may be in neither for a minute. So each part says of which set it is.
 *
 * @param names of all files of the folder, hidden ones too
 * @returns null where all parts are there and of one set, or where the folder has no parts
 */
async function findTornSet(shown: string, directory: string, names: readonly string[]): Promise<Problem | null> {
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

import { createHash } from 'node:crypto';
import { type CheckedDocument, problemOf } from '../documents/check.ts';
import { type Folders, type MountedFiles, readMountedFiles, textOf } from '../documents/mounted-files.ts';
import { createDocumentReader, type Reading } from '../documents/read-documents.ts';
import type { Failure, FileReference } from '../kinds/kind.ts';
import { type KindName, kinds } from '../kinds/kinds.ts';
import { FieldError, type Problem, printPath } from '../problem.ts';

/** One object that a document declares, whether or not the document is right. */
export interface Declaration {
  readonly source: CheckedDocument;
  readonly kind: KindName;
  readonly name: string;
  readonly generation: number | null;
  /** Changes with the document and with the file that it names. */
  readonly hash: string;
  /** The rows that there shall be; null where the document is not right, so that the rows stay as they are. */
  readonly rows: readonly unknown[] | null;
  /** Why it is not right. */
  readonly failure: Failure | null;
}

/** All that is declared. */
export interface Declarations {
  readonly all: readonly Declaration[];
  readonly problems: readonly Problem[];
  /**
   * Whether every document is known by name. Otherwise one that is not among them may be declared all the same, and nothing
   * may be removed.
   */
  readonly isWhole: boolean;
  /** The files and folders that were read. */
  readonly paths: readonly string[];
}

/** Reads what is declared: documents, and the files that they name. Files that have not changed are not taken apart again. */
export type ReadDeclarations = (paths: readonly string[], folders: Folders) => Promise<Declarations>;

export function createDeclarationReader(): ReadDeclarations {
  const reader = createDocumentReader();
  return async (paths, folders) => {
    const reading = await reader.read(paths);
    const references = reading.documents.flatMap(document => fileOf(document) ?? []);
    return declarationsOf(reading, await readMountedFiles(references, folders), paths);
  };
}

/** Another text as soon as anything that is declared is another. */
export function fingerprintOf({ all, isWhole, problems }: Declarations): string {
  const hash = createHash('sha256').update(`${isWhole} ${problems.length}`);
  for (const { kind, name, generation, hash: own, failure } of all) {
    hash.update(`\n${kind}/${name} ${generation} ${own} ${failure?.message}`);
  }
  return hash.digest('base64');
}

/** Makes of documents the rows that there shall be, and finds what is wrong with them together. */
function declarationsOf(reading: Reading, files: MountedFiles, paths: readonly string[]): Declarations {
  const problems = [...reading.problems, ...reading.documents.flatMap(({ problems }) => problems)];
  const isWhole = reading.problems.length === 0 && reading.documents.every(({ id }) => id !== null);
  const byId = new Map<string, CheckedDocument[]>();
  for (const checked of reading.documents) {
    if (checked.id === null) continue;
    const id = `${checked.id.kind}/${checked.id.name}`;
    const same = byId.get(id);
    if (same && !(reading.isTorn && same[0]?.text.trim() === checked.text.trim())) same.push(checked);
    else if (!same) byId.set(id, [checked]);
  }
  const gathering: Gathering = {
    files,
    problems,
    has: (kind, name) => byId.has(`${kind}/${name}`),
    claimed: new Map(),
  };
  const all = [...byId.values()].map(same => declarationOf(same, gathering));
  return { all, problems, isWhole, paths };
}

interface Gathering {
  readonly files: MountedFiles;
  readonly problems: Problem[];
  readonly has: (kind: string, name: string) => boolean;
  /** `Others.claimed` of each kind. */
  readonly claimed: Map<KindName, Map<string, string>>;
}

function declarationOf(same: readonly CheckedDocument[], gathering: Gathering): Declaration {
  const [checked, second] = same as [CheckedDocument, ...CheckedDocument[]];
  const { kind, name } = checked.id as NonNullable<CheckedDocument['id']>;
  const generation = checked.content?.generation ?? null;
  const failed = (failure: Failure): Declaration => {
    const hash = createHash('sha256').update(checked.text).digest('hex');
    return { source: checked, kind, name, generation, hash, rows: null, failure };
  };
  if (second) return failed(declaredTwice(checked, second, gathering));
  if (!checked.content) return failed({ reason: 'Invalid', message: messageOf(checked.problems) });
  const { spec } = checked.content;
  try {
    const text = textOf(fileOf(checked), gathering.files);
    const rows = kinds[kind].rowsOf({ name, spec, text });
    checkAmong(kind, rows, gathering);
    const hash = createHash('sha256')
      .update(JSON.stringify(spec))
      .update('\0')
      .update(text ?? '');
    return { source: checked, kind, name, generation, hash: hash.digest('hex'), rows, failure: null };
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    gathering.problems.push(problemOf(checked, error));
    const { reason, path, message, fix } = error;
    return failed({ reason, message: sentence(printPath(path), message, fix) });
  }
}

function declaredTwice(first: CheckedDocument, second: CheckedDocument, { problems }: Gathering): Failure {
  const why = `is declared twice: the first time in ${first.file}, line ${first.line}`;
  const error = new FieldError(['metadata', 'name'], why, 'give one of them another name, or remove it');
  problems.push(problemOf(second, error));
  return { reason: 'Duplicate', message: `It is declared in ${first.file} and in ${second.file}.` };
}

function fileOf({ id, content }: CheckedDocument): FileReference | null {
  return (id && content && kinds[id.kind].fileOf?.(content.spec)) ?? null;
}

/** @throws FieldError where it does not go with the other documents */
function checkAmong(kind: KindName, rows: readonly unknown[], { has, claimed }: Gathering): void {
  const others = { has, claimed: claimed.get(kind) ?? new Map<string, string>() };
  claimed.set(kind, others.claimed);
  for (const row of rows) kinds[kind].checkAmong?.(row, others);
}

const MOST_SHOWN = 3;

function messageOf(problems: readonly Problem[]): string {
  const shown = problems.slice(0, MOST_SHOWN).map(({ path, why, fix }) => sentence(path, why, fix));
  const more = problems.length - shown.length;
  return [...shown, ...(more > 0 ? [`And ${more} more.`] : [])].join(' ');
}

function sentence(path: string, why: string, fix: string): string {
  return `${path === '' ? 'It' : path} ${why}. To mend it: ${fix}.`;
}

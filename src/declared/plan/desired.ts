import { createHash } from 'node:crypto';
import { type Checked, problemOf } from '../documents/document.ts';
import type { MountedTexts } from '../documents/mounted-texts.ts';
import { FieldError, type Problem, printPath } from '../documents/problem.ts';
import type { Reading } from '../documents/read-documents.ts';
import type { KindName } from '../kinds/kinds.ts';
import { type Wanted, wantedOf } from './wanted.ts';

/** An object that a document declares, whether or not the document is right. */
export interface DesiredObject {
  readonly source: Checked;
  readonly kind: KindName;
  readonly name: string;
  readonly generation: number | null;
  readonly hash: string;
  /** null where the document is not right; the object stays as it is then. */
  readonly wanted: Wanted | null;
  /** Why it is not right. */
  readonly failure: Failure | null;
}

export interface Failure {
  readonly reason: string;
  readonly message: string;
}

/** All that is declared. */
export interface Desired {
  readonly objects: readonly DesiredObject[];
  readonly problems: readonly Problem[];
  /**
   * Whether every document is known by name. Otherwise one that is not among the objects may be declared all the same, and
   * nothing may be removed.
   */
  readonly isWhole: boolean;
  /** The files and folders that were read. */
  readonly paths: readonly string[];
}

/** Makes of documents the rows that there shall be, and finds what is wrong with them together. */
export function desiredOf(reading: Reading, texts: MountedTexts, paths: readonly string[]): Desired {
  const problems = [...reading.problems, ...reading.documents.flatMap(({ problems }) => problems)];
  const isWhole = reading.problems.length === 0 && reading.documents.every(({ id }) => id !== null);
  const gathering: Gathering = { texts, problems, routes: namesOfRoutes(reading), patterns: new Map() };
  const byId = new Map<string, Checked[]>();
  for (const checked of reading.documents) {
    if (checked.id === null) continue;
    const id = `${checked.id.kind}/${checked.id.name}`;
    const same = byId.get(id);
    if (same && !(reading.isTorn && same[0]?.text.trim() === checked.text.trim())) same.push(checked);
    else if (!same) byId.set(id, [checked]);
  }
  const objects = [...byId.values()].map(same => desiredObject(same, gathering));
  return { objects, problems, isWhole, paths };
}

interface Gathering {
  readonly texts: MountedTexts;
  readonly problems: Problem[];
  readonly routes: ReadonlySet<string>;
  /** The route of each domain that routes name. */
  readonly patterns: Map<string, string>;
}

function namesOfRoutes({ documents }: Reading): Set<string> {
  return new Set(documents.flatMap(({ id }) => (id?.kind === 'Route' ? [id.name] : [])));
}

function desiredObject(same: readonly Checked[], gathering: Gathering): DesiredObject {
  const [checked, second] = same as [Checked, ...Checked[]];
  const { kind, name } = checked.id as NonNullable<Checked['id']>;
  const generation = checked.document?.generation ?? null;
  const failed = (failure: Failure): DesiredObject => {
    const hash = createHash('sha256').update(checked.text).digest('hex');
    return { source: checked, kind, name, generation, hash, wanted: null, failure };
  };
  if (second) return failed(declaredTwice(checked, second, gathering));
  if (!checked.document) return failed({ reason: 'Invalid', message: messageOf(checked.problems) });
  try {
    const wanted = wantedOf(checked.document, gathering.texts);
    checkTogether(checked, wanted, gathering);
    return { source: checked, kind, name, generation, hash: wanted.hash, wanted, failure: null };
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    gathering.problems.push(problemOf(checked, error));
    const { reason, path, message, fix } = error;
    return failed({ reason, message: sentence(printPath(path), message, fix) });
  }
}

function declaredTwice(first: Checked, second: Checked, { problems }: Gathering): Failure {
  const why = `is declared twice: the first time in ${first.file}, line ${first.line}`;
  const error = new FieldError(['metadata', 'name'], why, 'give one of them another name, or remove it');
  problems.push(problemOf(second, error));
  return { reason: 'Duplicate', message: `It is declared in ${first.file} and in ${second.file}.` };
}

/** @throws FieldError where it does not go with the other documents */
function checkTogether(checked: Checked, wanted: Wanted, { routes, patterns }: Gathering): void {
  for (const row of wanted.rows) {
    if ('route' in row && row.route !== null && !routes.has(row.route)) {
      throw new FieldError(
        ['spec', 'route'],
        'names a Route that no document declares',
        'declare it, or correct the name',
      );
    }
    if (!('domains' in row)) continue;
    for (const [index, domain] of row.domains.entries()) {
      const other = patterns.get(domain);
      if (other !== undefined) {
        const why = `is a domain of Route/${other} already`;
        throw new FieldError(['spec', 'domains', index], why, 'take it from one of them');
      }
    }
    for (const domain of row.domains) patterns.set(domain, String(checked.id?.name));
  }
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

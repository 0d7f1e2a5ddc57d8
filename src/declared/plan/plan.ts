import { dirname, sep } from 'node:path';
import type { Queryable } from '../../postgres/pool.ts';
import { problemOf } from '../documents/check.ts';
import { KINDS, type Tables } from '../kinds/kinds.ts';
import { FieldError, type Problem } from '../problem.ts';
import { type KnownDeclaration, readRecords } from '../records.ts';
import type { Declarations } from './declarations.ts';
import { type DeclarationPlan, planKind } from './plan-kind.ts';

/** What is to be done about every declaration, and how it stands after that. Nothing has been written. */
export type Plan = readonly DeclarationPlan[];

export interface PlanOptions {
  /** Remove also what is no longer declared because all documents are gone. */
  readonly allowEmpty: boolean;
}

/** Compares what is declared with what is stored, by some reading statements for all declarations together. */
export async function makePlan(
  db: Queryable,
  declarations: Declarations,
  tables: Tables,
  { allowEmpty }: PlanOptions,
): Promise<Plan> {
  const records = await readRecords(db);
  const whyKept = allowEmpty ? () => null : createKeeper(declarations);
  const plans: DeclarationPlan[] = [];
  for (const kind of KINDS) {
    const known = new Map(records.filter(record => record.kind === kind).map(record => [record.name, record]));
    const same = declarations.all.filter(declaration => declaration.kind === kind);
    const { isWhole } = declarations;
    const input = { kind, table: tables[kind], declarations: same, known, isWhole, whyKept };
    for (const plan of await planKind(db, input)) plans.push(plan);
  }
  return plans;
}

/**
 * Tells why what no document declares any more is not to be removed. A volume that is not mounted is an empty folder,
 * so where all documents are gone, of everything or of one folder, that is more likely than that somebody wants to be without
 * any: what they declared stays until one of them is there again, or until an operator says so (`resources.allowEmpty`).
 *
 * @returns a sentence; null where it may go
 */
function createKeeper({ all, paths }: Declarations): (known: KnownDeclaration) => string | null {
  if (all.length === 0) return () => sentence(paths.join(', '));
  const folders = new Set(all.map(({ source }) => dirname(source.file)));
  // Folders tell nothing of documents that were read elsewhere before.
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

/** Finds documents that declare the same thing, of which only one can be: without a look at the database. */
export function findShared({ all }: Declarations, tables: Tables): Problem[] {
  const seen = new Map<string, string>();
  return all.flatMap(({ kind, name, source, rows }) => {
    const table = tables[kind];
    if (!rows || table.onStanding === 'satisfied') return [];
    return rows.flatMap(row => {
      const identity = `${kind}\n${table.identityOf(row)}`;
      const other = seen.get(identity);
      if (other === undefined) {
        seen.set(identity, name);
        return [];
      }
      const fix = ['remove one of them', ...(table.alternative ? [table.alternative] : [])].join(', ');
      return [problemOf(source, new FieldError(['spec'], `declares the same as ${kind}/${other}`, fix))];
    });
  });
}

import { countDeclared, type DeclaredObject, readSomeDeclared } from '../store/declared.ts';
import { leaseHolder } from '../store/declared-lease.ts';
import type { Queryable } from '../store/pool.ts';
import type { PassCounts } from './metrics.ts';
import type { Problem } from './problem.ts';

/** How declared resources stand, for people. Nothing in it is secret. */
export interface ResourcesReport {
  /** The process that makes the database match; null where none does. */
  readonly leader: string | null;
  /** Of this process. */
  readonly isLeader: boolean;
  /** The last time that this process compared the database with the documents; null where it never did. */
  readonly lastPass: PassReport | null;
  readonly total: number;
  readonly ready: number;
  /** Those that are not ready first; at most a thousand. */
  readonly objects: readonly ObjectReport[];
  /** How many objects are not in the list. */
  readonly omitted: number;
}

export interface PassReport {
  /** ISO 8601. */
  readonly at: string;
  readonly seconds: number;
  readonly changes: PassCounts;
  /** Objects that no document declares any more, and that stay since all documents of their folder are gone. */
  readonly kept: number;
  /** The class of the error that ended it; null where it came to its end. */
  readonly error: string | null;
  /** Documents that are not right; at most a hundred. */
  readonly problems: readonly Problem[];
}

/** As the condition `Ready` of a Kubernetes object. */
export interface ObjectReport {
  readonly kind: string;
  readonly name: string;
  readonly ready: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  /** `metadata.generation`, or the beginning of the document's hash where it has none. */
  readonly observedGeneration: number | string;
  /** Since when it is ready, or is not; ISO 8601. */
  readonly lastTransitionTime: string;
}

const MOST_OBJECTS = 1_000;

/** Reads how all declared objects stand, the same in every process. */
export async function readReport(
  db: Queryable,
  own: Pick<ResourcesReport, 'isLeader' | 'lastPass'>,
): Promise<ResourcesReport> {
  const leader = await leaseHolder(db);
  const { total, ready } = await countDeclared(db);
  const objects = (await readSomeDeclared(db, MOST_OBJECTS)).map(objectReport);
  return { leader, ...own, total, ready, objects, omitted: total - objects.length };
}

export function objectReport(object: DeclaredObject): ObjectReport {
  const { kind, name, ready, reason, message, generation, hash, transitionAt } = object;
  return {
    kind,
    name,
    ready: ready ? 'True' : 'False',
    reason,
    message,
    observedGeneration: generation ?? hash.slice(0, 12),
    lastTransitionTime: transitionAt.toISOString(),
  };
}

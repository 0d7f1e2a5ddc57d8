import { leaseHolder } from '../postgres/lease.ts';
import type { Queryable } from '../postgres/pool.ts';
import type { PassCounts } from './metrics.ts';
import type { Problem } from './problem.ts';
import { countRecords, type KnownDeclaration, readSomeRecords } from './records.ts';
import type { Unreconciled } from './unreconciled.ts';

/** How all declarations stand, for people. Nothing in it is secret. */
export interface DeclarationsReport {
  /** Whether all that is declared is in force, and looked after. */
  readonly ok: boolean;
  /** Why not. */
  readonly reasons: readonly string[];
  /** The process that makes the database match; null where none does. */
  readonly leader: string | null;
  /** Whether that is this process. */
  readonly isLeader: boolean;
  /** The declarations that nobody looks after; null where all are looked after. */
  readonly unreconciled: Unreconciled | null;
  /** The last time that this process compared the database with the documents; null where it never did. */
  readonly lastPass: PassReport | null;
  readonly total: number;
  readonly ready: number;
  /** Those that are not ready first; at most a thousand. */
  readonly objects: readonly DeclarationReport[];
  /** How many are not in the list. */
  readonly omitted: number;
}

export interface PassReport {
  /** ISO 8601. */
  readonly at: string;
  readonly seconds: number;
  readonly changes: PassCounts;
  /** How many no document declares any more, and that stay since all documents of their folder are gone. */
  readonly kept: number;
  /** The class of the error that ended it; null where it came to its end. */
  readonly error: string | null;
  /** Documents that are not right; at most a hundred. */
  readonly problems: readonly Problem[];
}

/** As the condition `Ready` of a Kubernetes object. */
export interface DeclarationReport {
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

/** How many objects a sentence names. */
const MOST_NAMED = 3;

/** Reads how all declarations stand, the same in every process. */
export async function readReport(
  db: Queryable,
  own: Pick<DeclarationsReport, 'isLeader' | 'lastPass' | 'unreconciled'>,
): Promise<DeclarationsReport> {
  const leader = await leaseHolder(db);
  const { total, ready } = await countRecords(db);
  const objects = (await readSomeRecords(db, MOST_OBJECTS)).map(declarationReport);
  const facts = { leader, ...own, total, ready, objects, omitted: total - objects.length };
  const reasons = reasonsOf(facts);
  return { ok: reasons.length === 0, reasons, ...facts };
}

function reasonsOf(report: Omit<DeclarationsReport, 'ok' | 'reasons'>): string[] {
  const { unreconciled, lastPass, total, ready, objects } = report;
  const reasons: string[] = [];
  if (unreconciled) {
    const since = unreconciled.since?.toISOString() ?? 'the beginning';
    reasons.push(`nobody compares ${amount(unreconciled.count)} with their documents, since ${since}`);
  }
  if (ready < total) {
    const named = objects.slice(0, Math.min(MOST_NAMED, total - ready));
    const names = named.map(({ kind, name, reason }) => `${kind}/${name} (${reason})`);
    const more = total - ready > MOST_NAMED ? ', ...' : '';
    reasons.push(`${total - ready} of ${amount(total)} not ready: ${names.join(', ')}${more}`);
  }
  const problems = lastPass?.problems.length ?? 0;
  if (problems > 0) reasons.push(`the documents have ${problems === 1 ? 'a problem' : `${problems} problems`}`);
  if (lastPass?.error) reasons.push(`the last comparison failed (${lastPass.error})`);
  return reasons;
}

function amount(objects: number): string {
  return objects === 1 ? '1 declared object' : `${objects} declared objects`;
}

export function declarationReport(known: KnownDeclaration): DeclarationReport {
  const { kind, name, ready, reason, message, generation, hash, transitionAt } = known;
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

import type { Queryable } from '../../postgres/pool.ts';
import type { Adapters } from '../adapters.ts';
import { KINDS } from '../kinds/kinds.ts';
import { readDeclared } from '../tables/records.ts';
import type { Desired } from './desired.ts';
import { createKeeper } from './kept.ts';
import { planKind } from './kind.ts';
import type { ObjectPlan } from './object.ts';

/** What is to be done, and how every declared object stands after it. Nothing has been written. */
export interface Plan {
  readonly objects: readonly ObjectPlan[];
}

export interface PlanOptions {
  /** Remove also what is no longer declared because all documents are gone. */
  readonly allowEmpty: boolean;
}

/** Compares what is declared with what is stored, by some reading statements for all objects together. */
export async function makePlan(
  db: Queryable,
  desired: Desired,
  adapters: Adapters,
  { allowEmpty }: PlanOptions,
): Promise<Plan> {
  const declared = await readDeclared(db);
  const whyKept = allowEmpty ? () => null : createKeeper(desired);
  const objects: ObjectPlan[] = [];
  for (const kind of KINDS) {
    const known = new Map(declared.filter(object => object.kind === kind).map(object => [object.name, object]));
    const wanted = desired.objects.filter(object => object.kind === kind);
    const input = { kind, adapter: adapters[kind], wanted, known, isWhole: desired.isWhole, whyKept };
    for (const plan of await planKind(db, input)) objects.push(plan);
  }
  return { objects };
}

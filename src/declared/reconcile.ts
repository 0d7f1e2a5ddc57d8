import { type ApplyParts, applyPlan } from './apply.ts';
import type { KindName } from './kinds/kinds.ts';
import type { PassCounts, Standing } from './metrics.ts';
import type { Desired } from './plan/desired.ts';
import { isDue } from './plan/object.ts';
import { makePlan } from './plan/plan.ts';
import type { DeclaredRecord } from './tables/records.ts';

export interface PassResult {
  readonly desired: Desired;
  /** All declared objects, after it. */
  readonly objects: readonly Standing[];
  /** The objects of which something new was written down. */
  readonly written: readonly DeclaredRecord[];
  readonly done: readonly { readonly kind: KindName; readonly action: 'create' | 'update' | 'remove' }[];
  readonly changes: PassCounts;
  /** Objects that no document declares any more, and that stay since all documents are gone. */
  readonly kept: number;
}

/** One object's row may wait for another's to go, and that one's for a third. */
const MOST_ROUNDS = 3;

/**
 * Makes the database match what is declared. Where it does, nothing is written.
 *
 * @throws as `applyPlan`
 */
export async function reconcile(desired: Desired, parts: ApplyParts): Promise<PassResult> {
  const written: DeclaredRecord[] = [];
  const done: PassResult['done'][number][] = [];
  let plan = await makePlan(parts.pool, desired, parts.adapters, parts);
  for (let round = 1; plan.objects.some(isDue); round++) {
    for (const record of await applyPlan(plan, parts)) written.push(record);
    const hasActed = plan.objects.some(({ action }) => action !== 'none');
    for (const { kind, action } of plan.objects) if (action !== 'none') done.push({ kind, action });
    if (!hasActed || round === MOST_ROUNDS) break;
    plan = await makePlan(parts.pool, desired, parts.adapters, parts);
  }
  const count = (wanted: string): number => done.filter(({ action }) => action === wanted).length;
  const changes = { created: count('create'), updated: count('update'), removed: count('remove') };
  const objects = plan.objects.flatMap(({ record }) => record ?? []);
  const kept = plan.objects.filter(({ isKept }) => isKept).length;
  return { desired, objects, written, done, changes, kept };
}

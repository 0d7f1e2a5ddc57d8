import type { KindName } from '../kinds/kinds.ts';
import type { DeclaredObject, DeclaredRecord } from '../tables/records.ts';
import type { WithId } from '../tables/table.ts';

/** What is to be done about one object. */
export interface ObjectPlan {
  readonly kind: KindName;
  readonly name: string;
  readonly action: 'create' | 'update' | 'remove' | 'none';
  /** No document declares it any more, and it is kept all the same. */
  readonly isKept?: boolean;
  /** What changes, by name; never by value. */
  readonly changes: readonly string[];
  readonly insert: readonly WithId<unknown>[];
  readonly update: readonly WithId<unknown>[];
  readonly remove: readonly string[];
  /** The ids of the rows that it owns until then. */
  readonly ownedBefore: readonly string[];
  /** How it stands after that; null for an object that is removed. */
  readonly record: DeclaredRecord | null;
  /** Whether that is something new. */
  readonly isNews: boolean;
}

/** Whether anything has to be written for it. */
export function isDue({ action, isNews }: ObjectPlan): boolean {
  return action !== 'none' || isNews;
}

/** Whether what is known of an object says the same already. */
export function isKnown(record: DeclaredRecord, known: DeclaredObject | undefined): boolean {
  return (
    known !== undefined &&
    known.hash === record.hash &&
    known.generation === record.generation &&
    known.ready === record.ready &&
    known.reason === record.reason &&
    known.message === record.message &&
    known.source === record.source
  );
}

import { randomUUID } from 'node:crypto';
import type { Queryable } from '../../postgres/pool.ts';
import { SecretError } from '../../webhooks/signing.ts';
import type { Adapter } from '../adapters.ts';
import type { KindName } from '../kinds/kinds.ts';
import type { DeclaredObject } from '../tables/records.ts';
import type { OwnedRow, Withheld, WithId } from '../tables/table.ts';
import type { DesiredObject, Failure } from './desired.ts';
import { isKnown, type ObjectPlan } from './object.ts';

export interface KindInput {
  readonly kind: KindName;
  readonly adapter: Adapter;
  readonly wanted: readonly DesiredObject[];
  /** The objects of this kind that are known of, by name. */
  readonly known: ReadonlyMap<string, DeclaredObject>;
  /** Whether what is not wanted is really gone. */
  readonly isWhole: boolean;
  /** Why an object that is gone stays all the same; null where it does not. */
  readonly whyKept: (object: DeclaredObject) => string | null;
}

/** What is to become of an object's rows, as far as the object alone tells. */
interface Draft {
  readonly object: DesiredObject;
  /** Everything that it owns, also what somebody has removed. */
  readonly owned: readonly OwnedRow<unknown>[];
  readonly kept: readonly string[];
  readonly updates: readonly { readonly id: string; readonly row: unknown; readonly changes: readonly string[] }[];
  /** Rows with an identity that is new to the object; in place of one that it has, where `id` says so. */
  readonly claims: readonly { readonly id: string; readonly row: unknown; readonly replaces: boolean }[];
  readonly removals: readonly string[];
}

/** Plans the objects of one kind. */
export async function planKind(db: Queryable, input: KindInput): Promise<ObjectPlan[]> {
  const { adapter, wanted, known, isWhole, whyKept } = input;
  const owned = Map.groupBy(await adapter.table.readOwned(db), ({ document }) => document);
  const drafts = wanted.map(object => draftOf(object, owned.get(object.name) ?? [], adapter));
  const names = new Set(wanted.map(({ name }) => name));
  const gone = isWhole ? [...known.values()].filter(({ name }) => !names.has(name)) : [];
  const removals = gone.map(object => {
    const rows = owned.get(object.name) ?? [];
    const why = rows.length > 0 ? whyKept(object) : null;
    return why === null ? removalOf(input.kind, object.name, rows) : keptPlan(input.kind, object, rows, why);
  });
  const refusals = await findRefusals(db, adapter, drafts, new Set(removals.flatMap(({ remove }) => remove)));
  const withheld = (await adapter.table.findWithheld?.(db)) ?? (() => null);
  const finished = drafts.map(draft => finish(draft, { refusals, withheld }, adapter, known.get(draft.object.name)));
  return [...removals, ...finished];
}

/** It is in force as before, and says why it should not be. */
function keptPlan(
  kind: KindName,
  known: DeclaredObject,
  owned: readonly OwnedRow<unknown>[],
  message: string,
): ObjectPlan {
  const { name, hash, generation, source } = known;
  const ownedBefore = owned.map(({ id }) => id);
  const status = { ready: false, reason: 'Kept', message, source };
  const record = { kind, name, hash, generation, ...status, owned: ownedBefore, standing: [] };
  const nothing = { action: 'none', changes: [], insert: [], update: [], remove: [] } as const;
  return { kind, name, ...nothing, ownedBefore, record, isNews: !isKnown(record, known), isKept: true };
}

function draftOf(object: DesiredObject, owned: readonly OwnedRow<unknown>[], adapter: Adapter): Draft {
  const alive = owned.filter(({ row }) => row !== null);
  if (object.wanted === null) {
    return { object, owned, kept: owned.map(({ id }) => id), updates: [], claims: [], removals: [] };
  }
  const { rows } = object.wanted;
  const byIdentity = new Map(alive.map(entry => [adapter.identityOf(entry.row), entry]));
  const matched = rows.flatMap(row => {
    const entry = byIdentity.get(adapter.identityOf(row));
    return entry ? [{ id: entry.id, row, changes: adapter.differences(row, entry.row, entry.id) }] : [];
  });
  const taken = new Set(matched.map(({ id }) => id));
  const isNew = (row: unknown): boolean => !byIdentity.has(adapter.identityOf(row));
  const [fresh, left] = [rows.filter(isNew), alive.filter(({ id }) => !taken.has(id))];
  // One row for another: it keeps its id, and with that what hangs on it.
  const replaced = rows.length === 1 && fresh.length === 1 && left.length === 1 ? left[0] : undefined;
  return {
    object,
    owned,
    kept: [...taken],
    updates: matched.filter(({ changes }) => changes.length > 0),
    claims: fresh.map(row => ({ id: replaced?.id ?? randomUUID(), row, replaces: replaced !== undefined })),
    removals: replaced ? [] : left.map(({ id }) => id),
  };
}

function removalOf(kind: KindName, name: string, owned: readonly OwnedRow<unknown>[]): ObjectPlan {
  const remove = owned.filter(({ row }) => row !== null).map(({ id }) => id);
  const ownedBefore = owned.map(({ id }) => id);
  const nothing = { changes: [], insert: [], update: [] };
  return { kind, name, action: 'remove', ...nothing, remove, ownedBefore, record: null, isNews: true };
}

interface Refused extends Failure {
  /** The row that is there already. */
  readonly standing?: string;
}

/** The rows that cannot be, and why. */
type Refusals = ReadonlyMap<unknown, Refused>;

/** What may be wrong with a draft's rows. */
interface Findings {
  readonly refusals: Refusals;
  readonly withheld: (row: unknown) => Withheld | null;
}

async function findRefusals(
  db: Queryable,
  adapter: Adapter,
  drafts: readonly Draft[],
  goneIds: ReadonlySet<string>,
): Promise<Refusals> {
  const refusals = new Map<unknown, Refused>();
  const claims = drafts.flatMap(draft => draft.claims.map(claim => ({ ...claim, draft })));
  if (claims.length === 0) return refusals;
  const leaving = new Set([...goneIds, ...drafts.flatMap(({ removals }) => removals)]);
  const rows = claims.map(({ row }) => row);
  const standing = await adapter.table.findStanding(db, rows);
  const owners = new Map(drafts.flatMap(({ object, owned }) => owned.map(({ id }) => [id, object.name] as const)));
  const firstOf = new Map<string, string>();
  for (const [index, { row, id, draft }] of claims.entries()) {
    const identity = adapter.identityOf(row);
    const other = standing.get(index);
    const first = firstOf.get(identity);
    if (other !== undefined && other !== id && !leaving.has(other)) {
      refusals.set(row, { ...conflict(owners.get(other), adapter), standing: other });
    } else if (first !== undefined) refusals.set(row, conflict(first, adapter));
    else firstOf.set(identity, draft.object.name);
  }
  return refusals;
}

/** @param owner the document whose row it is; undefined where no document has made it */
function conflict(owner: string | undefined, { alternative }: Adapter): Failure {
  const message =
    owner === undefined
      ? 'The same exists already, and no document has made it. It is left alone: remove it, or this document'
      : `"${owner}" declares the same. Remove one of the two documents`;
  return { reason: 'Conflict', message: `${[message, ...(alternative ? [alternative] : [])].join(', ')}.` };
}

function finish(draft: Draft, findings: Findings, adapter: Adapter, known: DeclaredObject | undefined): ObjectPlan {
  const { refusals, withheld } = findings;
  const { object, owned } = draft;
  const failure = object.failure ?? adapter.refusal;
  if (failure) return unchanged(draft, failure, known);
  const refused = draft.claims.flatMap(({ row }) => refusals.get(row) ?? []);
  if (refused[0] && adapter.standing === 'conflict') return unchanged(draft, refused[0], known);
  const claims = draft.claims.filter(({ row }) => !refusals.has(row));
  const stored = storedRows(draft, claims, adapter);
  if ('failure' in stored) return unchanged(draft, stored.failure, known);
  const kept = [...draft.kept, ...claims.map(({ id }) => id)];
  const [against] = (object.wanted?.rows ?? []).flatMap(row => withheld(row) ?? []);
  const applied = { ready: true, reason: 'Applied', message: appliedMessage(refused.length) };
  const standing = refused.flatMap(({ standing: id }) => id ?? []);
  const record = recordOf(object, against ? { ready: false, ...against } : applied, kept, standing);
  const changes = [
    ...new Set([...draft.updates.flatMap(update => update.changes), ...claimChanges(draft, claims, adapter)]),
  ];
  const isChanged = stored.insert.length + stored.update.length + draft.removals.length > 0;
  const action = !isChanged ? 'none' : owned.length === 0 ? 'create' : 'update';
  const isNews = !isKnown(record, known) || kept.length !== owned.length;
  const { kind, name } = object;
  const ownedBefore = owned.map(({ id }) => id);
  return { kind, name, action, changes, ...stored, remove: draft.removals, ownedBefore, record, isNews };
}

/** What already stood is as good as ours, but is not ours to remove. */
function appliedMessage(standing: number): string {
  if (standing === 0) return '';
  const [noun, verb] = standing === 1 ? ['entry', 'stays'] : ['entries', 'stay'];
  return `${standing} ${noun} stood there already, and ${verb} when this document goes.`;
}

type Claims = Draft['claims'];

function claimChanges({ owned }: Draft, claims: Claims, adapter: Adapter): string[] {
  if (claims.length === 0 || owned.length === 0) return [];
  const [claim] = claims;
  const before = claim?.replaces ? owned.find(({ id }) => id === claim.id)?.row : undefined;
  return claim && before ? adapter.differences(claim.row, before, claim.id) : ['entries'];
}

function storedRows({ updates }: Draft, claims: Claims, adapter: Adapter) {
  const toStored = ({ id, row }: { id: string; row: unknown }): WithId<unknown> => {
    return { ...(adapter.toStored(row, id) as object), id };
  };
  try {
    return {
      insert: claims.filter(({ replaces }) => !replaces).map(toStored),
      update: [...updates, ...claims.filter(({ replaces }) => replaces)].map(toStored),
    };
  } catch (error) {
    if (!(error instanceof SecretError)) throw error;
    return { failure: { reason: 'NoSecretKey', message: `${error.message}.` } };
  }
}

/** The object stays as it is, and says why. */
function unchanged({ object, owned }: Draft, failure: Failure, known: DeclaredObject | undefined): ObjectPlan {
  const { kind, name } = object;
  const ownedBefore = owned.map(({ id }) => id);
  const record = recordOf(object, { ready: false, ...failure }, ownedBefore);
  const nothing = { action: 'none', changes: [], insert: [], update: [], remove: [] } as const;
  return { kind, name, ...nothing, ownedBefore, record, isNews: !isKnown(record, known) };
}

function recordOf(
  { kind, name, hash, generation, source }: DesiredObject,
  status: { readonly ready: boolean; readonly reason: string; readonly message: string },
  owned: readonly string[],
  standing: readonly string[] = [],
) {
  return { kind, name, hash, generation, ...status, source: source.file, owned, standing };
}

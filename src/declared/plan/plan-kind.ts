import { randomUUID } from 'node:crypto';
import type { Queryable } from '../../postgres/pool.ts';
import { SecretError } from '../../webhooks/signing.ts';
import type { Failure, KindTable, OwnedRow, WithId } from '../kinds/kind.ts';
import type { KindName } from '../kinds/kinds.ts';
import type { DeclarationRecord, KnownDeclaration } from '../records.ts';
import type { Declaration } from './declarations.ts';

/** What is to be done about one declaration. */
export interface DeclarationPlan {
  readonly kind: KindName;
  readonly name: string;
  readonly action: 'create' | 'update' | 'remove' | 'none';
  /** No document declares it any more, and it is kept all the same. */
  readonly isKept?: boolean;
  /** The names of the fields that change; never their values. */
  readonly changes: readonly string[];
  readonly insert: readonly WithId<unknown>[];
  readonly update: readonly WithId<unknown>[];
  readonly remove: readonly string[];
  /** The ids of the rows that it owns until then. */
  readonly ownedBefore: readonly string[];
  /** How it stands after that; null for one that is removed. */
  readonly record: DeclarationRecord | null;
  /** Whether that is something new. */
  readonly isNews: boolean;
}

/** Whether anything has to be written for it. */
export function isDue({ action, isNews }: DeclarationPlan): boolean {
  return action !== 'none' || isNews;
}

export interface KindInput {
  readonly kind: KindName;
  readonly table: KindTable;
  readonly declarations: readonly Declaration[];
  /** Those of this kind that were declared before, by name. */
  readonly known: ReadonlyMap<string, KnownDeclaration>;
  /** Whether what is not declared is really gone. */
  readonly isWhole: boolean;
  /** Why one that is gone stays all the same; null where it does not. */
  readonly whyKept: (known: KnownDeclaration) => string | null;
}

/** The changes to a declaration's rows, as far as it alone tells. */
interface Draft {
  readonly declaration: Declaration;
  /** Everything that it owns, also what somebody has removed. */
  readonly owned: readonly OwnedRow<unknown>[];
  readonly kept: readonly string[];
  readonly updates: readonly { readonly id: string; readonly row: unknown; readonly changes: readonly string[] }[];
  /** Rows with an identity that is new to it; in place of one that it has, where `id` says so. */
  readonly claims: readonly { readonly id: string; readonly row: unknown; readonly replaces: boolean }[];
  readonly removals: readonly string[];
}

/** Plans the declarations of one kind. */
export async function planKind(db: Queryable, input: KindInput): Promise<DeclarationPlan[]> {
  const { table, declarations, known, isWhole, whyKept } = input;
  const owned = Map.groupBy(await table.readOwned(db), ({ document }) => document);
  const drafts = declarations.map(declaration => draftOf(declaration, owned.get(declaration.name) ?? [], table));
  const names = new Set(declarations.map(({ name }) => name));
  const gone = isWhole ? [...known.values()].filter(({ name }) => !names.has(name)) : [];
  const removals = gone.map(before => {
    const rows = owned.get(before.name) ?? [];
    const why = rows.length > 0 ? whyKept(before) : null;
    return why === null ? removalOf(input.kind, before.name, rows) : keptPlan(input.kind, before, rows, why);
  });
  const refusals = await findRefusals(db, table, drafts, new Set(removals.flatMap(({ remove }) => remove)));
  const withheld = (await table.findWithheld?.(db)) ?? (() => null);
  const finished = drafts.map(draft => finish(draft, { refusals, withheld }, table, known.get(draft.declaration.name)));
  return [...removals, ...finished];
}

/** It is in force as before, and says why it should not be. */
function keptPlan(
  kind: KindName,
  known: KnownDeclaration,
  owned: readonly OwnedRow<unknown>[],
  message: string,
): DeclarationPlan {
  const { name, hash, generation, source } = known;
  const ownedBefore = owned.map(({ id }) => id);
  const status = { ready: false, reason: 'Kept', message, source };
  const record = { kind, name, hash, generation, ...status, owned: ownedBefore, standing: [] };
  const nothing = { action: 'none', changes: [], insert: [], update: [], remove: [] } as const;
  return { kind, name, ...nothing, ownedBefore, record, isNews: !isKnown(record, known), isKept: true };
}

function draftOf(declaration: Declaration, owned: readonly OwnedRow<unknown>[], table: KindTable): Draft {
  const alive = owned.filter(({ row }) => row !== null);
  const { rows } = declaration;
  if (rows === null) {
    return { declaration, owned, kept: owned.map(({ id }) => id), updates: [], claims: [], removals: [] };
  }
  const byIdentity = new Map(alive.map(entry => [table.identityOf(entry.row), entry]));
  const matched = rows.flatMap(row => {
    const entry = byIdentity.get(table.identityOf(row));
    return entry ? [{ id: entry.id, row, changes: table.differences(row, entry.row, entry.id) }] : [];
  });
  const taken = new Set(matched.map(({ id }) => id));
  const isNew = (row: unknown): boolean => !byIdentity.has(table.identityOf(row));
  const [fresh, left] = [rows.filter(isNew), alive.filter(({ id }) => !taken.has(id))];
  // One row for another: it keeps its id, and with that what hangs on it.
  const replaced = rows.length === 1 && fresh.length === 1 && left.length === 1 ? left[0] : undefined;
  return {
    declaration,
    owned,
    kept: [...taken],
    updates: matched.filter(({ changes }) => changes.length > 0),
    claims: fresh.map(row => ({ id: replaced?.id ?? randomUUID(), row, replaces: replaced !== undefined })),
    removals: replaced ? [] : left.map(({ id }) => id),
  };
}

function removalOf(kind: KindName, name: string, owned: readonly OwnedRow<unknown>[]): DeclarationPlan {
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
  readonly withheld: (row: unknown) => Failure | null;
}

async function findRefusals(
  db: Queryable,
  table: KindTable,
  drafts: readonly Draft[],
  goneIds: ReadonlySet<string>,
): Promise<Refusals> {
  const refusals = new Map<unknown, Refused>();
  const claims = drafts.flatMap(draft => draft.claims.map(claim => ({ ...claim, draft })));
  if (claims.length === 0) return refusals;
  const leaving = new Set([...goneIds, ...drafts.flatMap(({ removals }) => removals)]);
  const rows = claims.map(({ row }) => row);
  const standing = await table.findStanding(db, rows);
  const owners = new Map(
    drafts.flatMap(({ declaration, owned }) => owned.map(({ id }) => [id, declaration.name] as const)),
  );
  const firstOf = new Map<string, string>();
  for (const [index, { row, id, draft }] of claims.entries()) {
    const identity = table.identityOf(row);
    const other = standing.get(index);
    const first = firstOf.get(identity);
    if (other !== undefined && other !== id && !leaving.has(other)) {
      refusals.set(row, { ...conflict(owners.get(other), table), standing: other });
    } else if (first !== undefined) refusals.set(row, conflict(first, table));
    else firstOf.set(identity, draft.declaration.name);
  }
  return refusals;
}

/** @param owner the document whose row it is; undefined where no document has made it */
function conflict(owner: string | undefined, { alternative }: KindTable): Failure {
  const message =
    owner === undefined
      ? 'The same exists already, and no document has made it. It is left alone: remove it, or this document'
      : `"${owner}" declares the same. Remove one of the two documents`;
  return { reason: 'Conflict', message: `${[message, ...(alternative ? [alternative] : [])].join(', ')}.` };
}

function finish(
  draft: Draft,
  findings: Findings,
  table: KindTable,
  known: KnownDeclaration | undefined,
): DeclarationPlan {
  const { refusals, withheld } = findings;
  const { declaration, owned } = draft;
  const rows = declaration.rows ?? [];
  const failure = declaration.failure ?? table.refusal ?? rows.flatMap(row => table.refusalOf?.(row) ?? [])[0];
  if (failure) return unchanged(draft, failure, known);
  const refused = draft.claims.flatMap(({ row }) => refusals.get(row) ?? []);
  if (refused[0] && table.onStanding === 'conflict') return unchanged(draft, refused[0], known);
  const claims = draft.claims.filter(({ row }) => !refusals.has(row));
  const stored = storedRows(draft, claims, table);
  if ('failure' in stored) return unchanged(draft, stored.failure, known);
  const kept = [...draft.kept, ...claims.map(({ id }) => id)];
  const [against] = rows.flatMap(row => withheld(row) ?? []);
  const applied = { ready: true, reason: 'Applied', message: appliedMessage(refused.length) };
  const standing = refused.flatMap(({ standing: id }) => id ?? []);
  const record = recordOf(declaration, against ? { ready: false, ...against } : applied, kept, standing);
  const changes = [
    ...new Set([...draft.updates.flatMap(update => update.changes), ...claimChanges(draft, claims, table)]),
  ];
  const isChanged = stored.insert.length + stored.update.length + draft.removals.length > 0;
  const action = !isChanged ? 'none' : owned.length === 0 ? 'create' : 'update';
  const isNews = !isKnown(record, known) || kept.length !== owned.length;
  const { kind, name } = declaration;
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

function claimChanges({ owned }: Draft, claims: Claims, table: KindTable): string[] {
  if (claims.length === 0 || owned.length === 0) return [];
  const [claim] = claims;
  const before = claim?.replaces ? owned.find(({ id }) => id === claim.id)?.row : undefined;
  return claim && before ? table.differences(claim.row, before, claim.id) : ['entries'];
}

function storedRows({ updates }: Draft, claims: Claims, table: KindTable) {
  const toStored = ({ id, row }: { id: string; row: unknown }): WithId<unknown> => {
    return { ...(table.toStored(row, id) as object), id };
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

/** It stays as it is, and says why. */
function unchanged(
  { declaration, owned }: Draft,
  failure: Failure,
  known: KnownDeclaration | undefined,
): DeclarationPlan {
  const { kind, name } = declaration;
  const ownedBefore = owned.map(({ id }) => id);
  const record = recordOf(declaration, { ready: false, ...failure }, ownedBefore);
  const nothing = { action: 'none', changes: [], insert: [], update: [], remove: [] } as const;
  return { kind, name, ...nothing, ownedBefore, record, isNews: !isKnown(record, known) };
}

function recordOf(
  { kind, name, hash, generation, source }: Declaration,
  status: { readonly ready: boolean; readonly reason: string; readonly message: string },
  owned: readonly string[],
  standing: readonly string[] = [],
) {
  return { kind, name, hash, generation, ...status, source: source.file, owned, standing };
}

/** Whether what is known of a declaration says the same already. */
function isKnown(record: DeclarationRecord, known: KnownDeclaration | undefined): boolean {
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

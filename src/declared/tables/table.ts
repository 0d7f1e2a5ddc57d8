import type { Queryable } from '../../postgres/pool.ts';

export type WithId<R> = R & { readonly id: string };

/** A row that was made for a document. */
export interface OwnedRow<R> {
  /** The document's name. */
  readonly document: string;
  readonly id: string;
  /** As it is now; null where somebody has removed it. */
  readonly row: R | null;
}

/**
 * Rows of one table that documents declare, each method by one statement for all of them. Who made a row is in
 * `smtp_relay_declared`, which the caller keeps.
 */
export interface DeclaredTable<R> {
  /** All rows that were made for documents. */
  readOwned(db: Queryable): Promise<OwnedRow<R>[]>;
  /** Those of the rows, by their position, for which there is one of the same identity, whoever made it; with its id. */
  findStanding(db: Queryable, rows: readonly R[]): Promise<ReadonlyMap<number, string>>;
  /** Inserts those whose identity is free. @returns their ids */
  insert(db: Queryable, rows: readonly WithId<R>[]): Promise<string[]>;
  /** Gives rows that are there other values. @returns the ids of those that were there */
  update(db: Queryable, rows: readonly WithId<R>[]): Promise<string[]>;
  remove(db: Queryable, ids: readonly string[]): Promise<void>;
  /** Tells what keeps a row from being in force though it is as declared; left out where nothing can. */
  findWithheld?(db: Queryable): Promise<(row: R) => Withheld | null>;
}

export interface Withheld {
  readonly reason: string;
  readonly message: string;
}

/** Part of a statement: the rows that documents of a kind own. */
export const ownedBy = (kind: string): string => `
  (select name as document, unnest(owned) as owned_id from smtp_relay_declared where kind = '${kind}') o`;

interface Found {
  readonly document: string;
  readonly owned_id: string;
  readonly there: boolean;
}

/** Makes of what was selected, the row's own columns beside those above, what `readOwned` returns. */
export function ownedRows<R extends object>(rows: readonly (Found & R)[]): OwnedRow<R>[] {
  return rows.map(({ document, owned_id, there, ...row }) => {
    return { document, id: owned_id, row: there ? (row as unknown as R) : null };
  });
}

/** Of rows that were found for the elements of an array, `with ordinality`, which counts from 1. */
export function positions(rows: readonly { readonly position: number; readonly id: string }[]): Map<number, string> {
  return new Map(rows.map(({ position, id }) => [position - 1, id]));
}

export async function idsOf(db: Queryable, statement: string, rows: readonly object[]): Promise<string[]> {
  if (rows.length === 0) return [];
  return (await db.query<{ id: string }>(statement, [JSON.stringify(rows)])).rows.map(({ id }) => id);
}

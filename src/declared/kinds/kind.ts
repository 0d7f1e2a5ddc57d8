import type { TSchema } from 'typebox';
import type { Queryable } from '../../postgres/pool.ts';
import type { Pipeline } from '../../store/schema/pipeline.ts';
import type { SecretBox } from '../../webhooks/signing.ts';

/*
 * What a kind of declarations is: its schema, the rows that a declaration comes to, and the table that they are in. Each kind
 * has a file in this folder, and a line in `kinds.ts`.
 */

/** @typeParam R a row as a document declares it. @typeParam S the same as it is stored, where that is another */
export interface Kind<Spec = unknown, R = unknown, S = R> {
  /** Describes the document's `spec`. Its description is that of the kind. */
  readonly schema: TSchema & { readonly description?: string };
  /** The file that a document names, if any; left out where none can. */
  fileOf?(spec: Spec): FileReference | null;
  /** The rows of a declaration. @throws FieldError where its values, or the file, are not right */
  rowsOf(source: Source<Spec>): R[];
  /** Checks a row against what the other documents declare; left out where they are of no interest. @throws FieldError */
  checkAmong?(row: R, others: Others): void;
  table(installation: Installation): KindTable<R, S>;
}

/** A file that a document names: where, and below which folder. */
export interface FileReference {
  readonly folder: 'secrets' | 'documents';
  readonly path: string;
  /** The path of the field that names it. */
  readonly field: readonly string[];
}

/** A document, as rows are made of it. */
export interface Source<Spec> {
  readonly name: string;
  readonly spec: Spec;
  /** What is in the file; null where the document names none, or nobody looked for it. */
  readonly text: string | null;
}

export interface Others {
  /** Whether some document declares it. */
  has(kind: string, name: string): boolean;
  /** Values that no two documents of the kind may have, with the name of the one that has it; to be added to. */
  readonly claimed: Map<string, string>;
}

/** The facts of an installation that tables depend on. */
export interface Installation {
  readonly box: SecretBox;
  /** Which one the database is used with; OpenSend manages some kinds itself. */
  readonly pipeline: Pipeline;
  /** Whether two owners may have one domain. */
  readonly sharedDomains: boolean;
}

export type WithId<R> = R & { readonly id: string };

/** A row that was made for a declaration. */
export interface OwnedRow<R> {
  /** The name of its document. */
  readonly document: string;
  readonly id: string;
  /** As it is now; null where somebody has removed it. */
  readonly row: R | null;
}

/** Why a declaration is not in force. */
export interface Failure {
  /** One word. */
  readonly reason: string;
  readonly message: string;
}

/**
 * The rows of one table that documents declare, each statement for all of them. Who made a row is in `smtp_relay_declared`,
 * which the caller keeps.
 */
export interface KindTable<R = unknown, S = R> extends Statements<S> {
  /** Tells rows apart; no two of the table may have the same. */
  identityOf(row: R | S): string;
  /** The names of the fields that have another value in the table. */
  differences(declared: R, stored: S, id: string): string[];
  /** The row as it is to be written. @throws SecretError where a secret cannot be kept */
  toStored(declared: R, id: string): S;
  /**
   * What becomes of a document whose row was made by somebody else: `conflict`, it is not touched, and the declaration is not
   * ready; `satisfied`, the row is as good as one of ours.
   */
  readonly onStanding: 'conflict' | 'satisfied';
  /** Why no document of the kind can be brought about in this database; left out where it can. */
  readonly refusal?: Failure;
  /** Why a row cannot be brought about in this database; left out where each can. */
  refusalOf?(declared: R): Failure | null;
  /** What else may be done about two that are the same, as the end of a sentence; left out where nothing can. */
  readonly alternative?: string;
}

interface Statements<S> {
  /** All rows that were made for documents. */
  readOwned(db: Queryable): Promise<OwnedRow<S>[]>;
  /** Those of the rows, by their position, for which there is one of the same identity, whoever made it; with its id. */
  findStanding(db: Queryable, rows: readonly S[]): Promise<ReadonlyMap<number, string>>;
  /** Inserts those whose identity is free. @returns their ids */
  insert(db: Queryable, rows: readonly WithId<S>[]): Promise<string[]>;
  /** Gives rows that are there other values. @returns the ids of those that were there */
  update(db: Queryable, rows: readonly WithId<S>[]): Promise<string[]>;
  remove(db: Queryable, ids: readonly string[]): Promise<void>;
  /** Tells what keeps a row from being in force though it is as declared; left out where nothing can. */
  findWithheld?(db: Queryable): Promise<(row: S) => Failure | null>;
}

/** A kind's statements in SQL. */
export interface Sql {
  /** Selects the row's own columns, and those of `Found`. */
  readonly readOwned: string;
  /** Selects for each element of its parameters that there is a row for the `position`, counted from 1, and the `id`. */
  readonly findStanding: string;
  /** Takes rows with their ids as JSON, and returns the ids of those that were written; so does `update`. */
  readonly insert: string;
  readonly update: string;
  /** Takes ids. */
  readonly remove: string;
}

interface Found {
  readonly document: string;
  readonly owned_id: string;
  readonly there: boolean;
}

/** Part of a statement: the rows that documents of a kind own. */
export const ownedBy = (kind: string): string => `
  (select name as document, unnest(owned) as owned_id from smtp_relay_declared where kind = '${kind}') o`;

/**
 * Makes a table as most kinds have it: rows are stored as they are declared, and conflict with those of others.
 *
 * @param parametersOf what `findStanding` takes for some rows
 * @param toParameter what `insert` and `update` take for a row, where that is more than its values
 */
export function tableOf<S extends object>(
  sql: Sql,
  parametersOf: (rows: readonly S[]) => unknown[],
  toParameter: (row: WithId<S>) => object = row => row,
) {
  const write = async (db: Queryable, statement: string, rows: readonly WithId<S>[]): Promise<string[]> => {
    if (rows.length === 0) return [];
    const { rows: written } = await db.query<{ id: string }>(statement, [JSON.stringify(rows.map(toParameter))]);
    return written.map(({ id }) => id);
  };
  return {
    readOwned: async (db: Queryable) => ownedRows<S>((await db.query<Found & S>(sql.readOwned)).rows),
    async findStanding(db: Queryable, rows: readonly S[]) {
      const found = await db.query<{ position: number; id: string }>(sql.findStanding, parametersOf(rows));
      return new Map(found.rows.map(({ position, id }) => [position - 1, id]));
    },
    insert: (db: Queryable, rows: readonly WithId<S>[]) => write(db, sql.insert, rows),
    update: (db: Queryable, rows: readonly WithId<S>[]) => write(db, sql.update, rows),
    remove: async (db: Queryable, ids: readonly string[]) => void (await db.query(sql.remove, [ids])),
    differences: differingFields,
    toStored: (row: S) => row,
    onStanding: 'conflict',
  } as const;
}

function ownedRows<S extends object>(rows: readonly (Found & S)[]): OwnedRow<S>[] {
  return rows.map(({ document, owned_id, there, ...row }) => {
    return { document, id: owned_id, row: there ? (row as unknown as S) : null };
  });
}

/** The names of the fields that have another value in what is stored. */
export function differingFields(declared: object, stored: object): string[] {
  const values = new Map(Object.entries(stored));
  return Object.entries(declared).flatMap(([field, value]) => (isEqual(value, values.get(field)) ? [] : [field]));
}

/** JSON values; Postgres keeps the keys of an object in an order of its own. */
function isEqual(one: unknown, other: unknown): boolean {
  if (one === other) return true;
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const [entries, others] = [Object.entries(one), new Map(Object.entries(other))];
  return entries.length === others.size && entries.every(([key, value]) => isEqual(value, others.get(key)));
}

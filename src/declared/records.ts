import type { Queryable } from '../postgres/pool.ts';

/** How a declaration stands: what the database keeps of it, in `smtp_relay_declared`. */
interface DeclarationStatus {
  readonly kind: string;
  readonly name: string;
  /** Changes with the document and its secrets. */
  readonly hash: string;
  /** `metadata.generation`, where the document has one. */
  readonly generation: number | null;
  readonly ready: boolean;
  /** One word, such as `Applied`, `Invalid`, `Conflict`. */
  readonly reason: string;
  readonly message: string;
  /** The file of the document; null where it was not noted yet. */
  readonly source: string | null;
}

/** A declaration as an earlier pass left it. */
export interface KnownDeclaration extends DeclarationStatus {
  /** Since when it is ready, or is not. */
  readonly transitionAt: Date;
}

/** With the ids of all rows that were made for it. */
export interface DeclarationRecord extends DeclarationStatus {
  readonly owned: readonly string[];
  /** The ids of rows that were there already and are as good; they stay when the document goes. */
  readonly standing: readonly string[];
}

/** Names a declaration. */
type DeclarationKey = Pick<DeclarationStatus, 'kind' | 'name'>;

const COLUMNS = `
  kind, name, hash, generation::float8 as generation, ready, reason, message, source, transition_at as "transitionAt"`;

const READ = `
  select ${COLUMNS} from smtp_relay_declared order by kind, name`;

const WRITE = `
  insert into smtp_relay_declared as d (kind, name, hash, generation, ready, reason, message, source, owned, standing)
  select kind, name, hash, generation, ready, reason, message, source,
         array(select id::uuid from jsonb_array_elements_text(w.owned) as id),
         array(select id::uuid from jsonb_array_elements_text(w.standing) as id)
    from jsonb_to_recordset($1::jsonb) as w (
         kind text, name text, hash text, generation bigint, ready boolean, reason text, message text, source text,
         owned jsonb, standing jsonb)
  on conflict (kind, name) do update
    set hash = excluded.hash, generation = excluded.generation, ready = excluded.ready, reason = excluded.reason,
        message = excluded.message, source = excluded.source, owned = excluded.owned, standing = excluded.standing,
        updated_at = now(),
        transition_at = case when d.ready = excluded.ready then d.transition_at else now() end`;

const REMOVE = `
  delete from smtp_relay_declared d using unnest($1::text[], $2::text[]) as gone (kind, name)
   where d.kind = gone.kind and d.name = gone.name`;

/** All declarations, by kind and name. */
export async function readRecords(db: Queryable): Promise<KnownDeclaration[]> {
  return (await db.query<KnownDeclaration>(READ)).rows;
}

export async function writeRecords(db: Queryable, records: readonly DeclarationRecord[]): Promise<void> {
  if (records.length > 0) await db.query(WRITE, [JSON.stringify(records)]);
}

export async function forgetRecords(db: Queryable, keys: readonly DeclarationKey[]): Promise<void> {
  if (keys.length > 0) await db.query(REMOVE, [keys.map(({ kind }) => kind), keys.map(({ name }) => name)]);
}

/** How many declarations there are, by whether they are ready. */
interface RecordCounts {
  readonly total: number;
  readonly ready: number;
}

const COUNT = `
  select count(*)::integer as total, (count(*) filter (where ready))::integer as ready from smtp_relay_declared`;

const READ_SOME = `
  select ${COLUMNS} from smtp_relay_declared order by ready, kind, name limit $1`;

export async function countRecords(db: Queryable): Promise<RecordCounts> {
  return (await db.query<RecordCounts>(COUNT)).rows[0] ?? { total: 0, ready: 0 };
}

/** So many declarations at most, those that are not ready first. */
export async function readSomeRecords(db: Queryable, limit: number): Promise<KnownDeclaration[]> {
  return (await db.query<KnownDeclaration>(READ_SOME, [limit])).rows;
}

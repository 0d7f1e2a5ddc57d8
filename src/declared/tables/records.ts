import type { Queryable } from '../../postgres/pool.ts';

/** How a declared object stands. */
export interface DeclaredStatus {
  readonly kind: string;
  readonly name: string;
  /** Of the document and its secrets. */
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

export interface DeclaredObject extends DeclaredStatus {
  /** Since when it is ready, or is not. */
  readonly transitionAt: Date;
}

/** With the ids of all rows that were made for it. */
export interface DeclaredRecord extends DeclaredStatus {
  readonly owned: readonly string[];
  /** The ids of rows that were there already and are as good; they stay when the document goes. */
  readonly standing: readonly string[];
}

/** Names an object. */
export type DeclaredKey = Pick<DeclaredStatus, 'kind' | 'name'>;

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

/** All declared objects, by kind and name. */
export async function readDeclared(db: Queryable): Promise<DeclaredObject[]> {
  return (await db.query<DeclaredObject>(READ)).rows;
}

export async function writeDeclared(db: Queryable, records: readonly DeclaredRecord[]): Promise<void> {
  if (records.length > 0) await db.query(WRITE, [JSON.stringify(records)]);
}

export async function forgetDeclared(db: Queryable, keys: readonly DeclaredKey[]): Promise<void> {
  if (keys.length > 0) await db.query(REMOVE, [keys.map(({ kind }) => kind), keys.map(({ name }) => name)]);
}

/** How many declared objects there are, by whether they are ready. */
export interface DeclaredCounts {
  readonly total: number;
  readonly ready: number;
}

const COUNT = `
  select count(*)::integer as total, (count(*) filter (where ready))::integer as ready from smtp_relay_declared`;

const READ_SOME = `
  select ${COLUMNS} from smtp_relay_declared order by ready, kind, name limit $1`;

export async function countDeclared(db: Queryable): Promise<DeclaredCounts> {
  return (await db.query<DeclaredCounts>(COUNT)).rows[0] ?? { total: 0, ready: 0 };
}

/** So many declared objects at most, those that are not ready first. */
export async function readSomeDeclared(db: Queryable, limit: number): Promise<DeclaredObject[]> {
  return (await db.query<DeclaredObject>(READ_SOME, [limit])).rows;
}

import type { Queryable } from '../../postgres/pool.ts';

/** SQL: how long what no message names is left alone. More than a message takes from its end to its commit, however slow all is. */
export const GRACE = "interval '1 hour'";

/** $1 the object's URL. */
const NOTE = `insert into smtp_relay_objects (object_url, due_at) values ($1, now() + ${GRACE})`;

/** Writes down that an object is about to be put into storage: should nothing come of its message, it is removed. */
export async function noteObject(db: Queryable, objectUrl: string): Promise<void> {
  await db.query(NOTE, [objectUrl]);
}

/**
 * SQL for a part of a statement, `named`: has rows name their objects, and gives one row for each that could be. One that is being
 * removed cannot.
 *
 * @param rows what has the rows, with their `object_url`
 */
export function nameObjects(rows: string): string {
  return `named as (
    update smtp_relay_objects o set names = o.names + 1, due_at = null
      from ${rows} r where o.object_url = r.object_url and o.names >= 0
    returning o.object_url
  )`;
}

/** SQL for a part of a statement, `unnamed`: the rows that were deleted name their objects no more. @param rows as above */
export function unnameObjects(rows: string): string {
  return `unnamed as (
    update smtp_relay_objects o
       set names = o.names - gone.times, due_at = case when o.names = gone.times then now() + ${GRACE} end
      from (select object_url, count(*)::integer as times from ${rows} where object_url is not null group by 1) gone
     where o.object_url = gone.object_url
  )`;
}

/** From then on nobody may name them. $1 at most. */
const CONDEMN = `
  with due as (
    select object_url from smtp_relay_objects where due_at <= now() order by due_at limit $1 for update skip locked
  )
  update smtp_relay_objects o set names = -1 from due where o.object_url = due.object_url returning o.object_url as "objectUrl"`;

const FORGET = 'delete from smtp_relay_objects where object_url = any($1::text[])';

/**
 * Condemns objects that no message names any more, or never did. They stay written down until they are forgotten, so that they come
 * again where they could not be removed.
 */
export async function condemnObjects(db: Queryable, limit: number): Promise<string[]> {
  return (await db.query<{ objectUrl: string }>(CONDEMN, [limit])).rows.map(({ objectUrl }) => objectUrl);
}

/** They are removed. */
export async function forgetObjects(db: Queryable, objectUrls: readonly string[]): Promise<void> {
  if (objectUrls.length > 0) await db.query(FORGET, [objectUrls]);
}

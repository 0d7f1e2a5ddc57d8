import type { Queryable } from '../../../src/postgres/pool.ts';

/** Every catalogue row about tables that are not the relay's; `xmin` changes with whatever rewrites one. */
const CATALOGUE = `
  with theirs as (
    select oid, relname from pg_class
     where relnamespace = 'public'::regnamespace and relkind in ('r', 'i') and relname !~ '^smtp_relay_')
  select 'class' as what, relname::text as name, c.xmin::text || ' ' || c.relfilenode as row
    from pg_class c join theirs using (oid, relname)
  union all
  select 'attribute', relname || '.' || attname, a.xmin::text from pg_attribute a join theirs on oid = attrelid
  union all
  select 'index', relname, i.xmin || pg_get_indexdef(indexrelid) from pg_index i join theirs on oid = indrelid
  union all
  select 'constraint', relname || '.' || conname, c.xmin || pg_get_constraintdef(c.oid)
    from pg_constraint c join theirs on theirs.oid in (conrelid, confrelid)
  union all
  select 'trigger', relname || '.' || tgname, t.xmin::text from pg_trigger t join theirs on theirs.oid = tgrelid
  order by 1, 2, 3`;

/** What the database knows of the tables that are not the relay's, fit for comparing before with after. */
export async function catalogue(db: Queryable): Promise<unknown[]> {
  return (await db.query(CATALOGUE)).rows;
}

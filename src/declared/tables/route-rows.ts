import { type DeclaredTable, idsOf, ownedBy, ownedRows, positions } from './table.ts';

/** A route as a document declares it. */
export interface RouteRow {
  readonly name: string;
  readonly domains: readonly string[];
  readonly transport: string;
  /** The group of that transport, as written. */
  readonly settings: Readonly<Record<string, unknown>>;
}

const READ_OWNED = `
  select o.document, o.owned_id, r.id is not null as there, r.name, r.domains, r.transport, r.settings
    from ${ownedBy('Route')} left join smtp_relay_routes r on r.id = o.owned_id`;

const FIND_STANDING = `
  select asked.position::integer, r.id
    from unnest($1::text[]) with ordinality as asked (name, position) join smtp_relay_routes r on r.name = asked.name`;

const WANTED = `
  wanted as (
    select * from jsonb_to_recordset($1::jsonb) as w (id uuid, name text, domains jsonb, transport text, settings jsonb)
  )`;

const INSERT = `
  with ${WANTED}
  insert into smtp_relay_routes (id, name, domains, transport, settings)
  select id, name, domains, transport, settings from wanted
  on conflict do nothing
  returning id`;

const UPDATE = `
  with ${WANTED}
  update smtp_relay_routes r
     set name = w.name, domains = w.domains, transport = w.transport, settings = w.settings
    from wanted w where r.id = w.id
  returning r.id`;

const REMOVE = 'delete from smtp_relay_routes where id = any($1::uuid[])';

export const declaredRouteRows: DeclaredTable<RouteRow> = {
  readOwned: async db => ownedRows((await db.query(READ_OWNED)).rows),
  findStanding: async (db, rows) => positions((await db.query(FIND_STANDING, [rows.map(({ name }) => name)])).rows),
  insert: (db, rows) => idsOf(db, INSERT, rows),
  update: (db, rows) => idsOf(db, UPDATE, rows),
  remove: async (db, ids) => void (await db.query(REMOVE, [ids])),
};

import { comparableName, spellings, UNSAID_TLS } from '../../store/owners/domains.ts';
import type { DomainSettings } from '../../store/owners/sending-domains.ts';
import { type DeclaredTable, idsOf, ownedBy, ownedRows, positions } from './table.ts';

/** A sending domain as a document declares it. */
export interface DomainRow extends DomainSettings {
  readonly owner: string;
  readonly route: string | null;
}

const READ_OWNED = `
  select o.document, o.owned_id, d.id is not null as there, d.name, d.user_id as owner, d.region,
         d.track_opens as "trackOpens", d.track_clicks as "trackClicks",
         nullif(d.tracking_subdomain, '') as "trackingSubdomain",
         nullif(d.ses_configuration_set_name, '') as "configurationSet",
         coalesce(d.tls, '${UNSAID_TLS}') as tls, r.route
    from ${ownedBy('SendingDomain')}
    left join domains d on d.id = o.owned_id
    left join smtp_relay_domain_routes r on r.domain_id = o.owned_id`;

/** Names are compared in lower case and in both spellings, since other programs write to this table too. */
const FIND_STANDING = `
  select asked.position, d.id
    from unnest($1::text[], $2::text[], $3::integer[]) as asked (owner, name, position)
    join domains d on (d.user_id = asked.owner or not $4) and ${comparableName('d.name')} = asked.name
   order by d.user_id = asked.owner`;

const WANTED = `
  wanted as (
    select * from jsonb_to_recordset($1::jsonb) as w (
      id uuid, name text, owner text, region text, "trackOpens" boolean, "trackClicks" boolean,
      "trackingSubdomain" text, "configurationSet" text, tls text, route text, spellings jsonb, shared boolean)
  )`;

/** A new route is set; none takes away the one that was. */
const KEEP_ROUTES = (made: string): string => `
  routed as (
    insert into smtp_relay_domain_routes (domain_id, route)
    select id, w.route from wanted w join ${made} using (id) where w.route is not null
    on conflict (domain_id) do update set route = excluded.route
  ), unrouted as (
    delete from smtp_relay_domain_routes using wanted w where domain_id = w.id and w.route is null
  )`;

const INSERT = `
  with ${WANTED}, there as (
    select wanted.id from wanted, jsonb_array_elements_text(spellings) as spelling
      join domains d on ${comparableName('d.name')} = spelling where d.user_id = wanted.owner or not shared
  ), made as (
    insert into domains (id, name, user_id, region, track_opens, track_clicks, tracking_subdomain,
                         ses_configuration_set_name, tls, created_at)
    select id, name, owner, region, "trackOpens", "trackClicks", "trackingSubdomain", "configurationSet", tls, now()
      from wanted
     where id not in (select id from there)
    on conflict do nothing
    returning id
  ), ${KEEP_ROUTES('made')}
  select id from made`;

const UPDATE = `
  with ${WANTED}, changed as (
    update domains d
       set name = w.name, user_id = w.owner, region = w.region, track_opens = w."trackOpens",
           track_clicks = w."trackClicks", tracking_subdomain = w."trackingSubdomain",
           ses_configuration_set_name = w."configurationSet", tls = w.tls,
           -- What SES said of another name says nothing of this one.
           status = case when ${comparableName('d.name')} = w.name then d.status else 'not_started' end
      from wanted w where d.id = w.id
    returning d.id
  ), ${KEEP_ROUTES('changed')}
  select id from changed`;

const REMOVE = `
  with routes as (delete from smtp_relay_domain_routes where domain_id = any($1::uuid[]))
  delete from domains where id = any($1::uuid[])`;

/** @param shared whether two owners may have one domain */
export function createDeclaredDomains(shared: boolean): DeclaredTable<DomainRow> {
  return {
    readOwned: async db => ownedRows((await db.query(READ_OWNED)).rows),
    async findStanding(db, rows) {
      const asked = rows.flatMap(({ owner, name }, index) => spellings(name).map(form => ({ owner, form, index })));
      const values = [
        asked.map(({ owner }) => owner),
        asked.map(({ form }) => form),
        asked.map(({ index }) => index + 1),
        shared,
      ];
      return positions((await db.query(FIND_STANDING, values)).rows);
    },
    insert: (db, rows) =>
      idsOf(
        db,
        INSERT,
        rows.map(row => ({ ...row, spellings: spellings(row.name), shared })),
      ),
    update: (db, rows) => idsOf(db, UPDATE, rows),
    remove: async (db, ids) => void (await db.query(REMOVE, [ids])),
  };
}

import Type, { type Static } from 'typebox';
import type { DomainSettings } from '../../store/owners/domain-lookup.ts';
import { comparableName, spellings, UNSAID_TLS } from '../../store/owners/domains.ts';
import { FieldError } from '../problem.ts';
import { domainName, flag, group, hostLabel, oneOf, owner, readDomain, text } from './fields.ts';
import { type Kind, ownedBy, tableOf } from './kind.ts';

const tracking = group(
  {
    opens: Type.Optional(flag('Whether opens are tracked; false where it is left out.')),
    clicks: Type.Optional(flag('Whether clicks are tracked; false where it is left out.')),
  },
  'What is tracked, unless a message asks otherwise.',
);

const schema = group(
  {
    owner,
    name: domainName('The domain, in any spelling.'),
    region: Type.Optional(
      text('the name of an AWS region, such as us-east-1', {
        pattern: '^[a-z]{2,4}(-[a-z]+){1,3}-[0-9]{1,2}$',
        description: 'The SES region to send through; us-east-1 where it is left out.',
      }),
    ),
    configurationSet: Type.Optional(
      text('the name of a configuration set: letters, digits, _ and -', {
        pattern: '^[A-Za-z0-9_-]{1,64}$',
        description: 'The SES configuration set to send with.',
      }),
    ),
    tracking: Type.Optional(tracking),
    trackingSubdomain: Type.Optional(
      hostLabel('Where tracked links lead: a label below the domain, such as links, or a whole host name.'),
    ),
    tls: Type.Optional(oneOf(['enforced', 'opportunistic'], 'Whether SES may deliver without TLS.')),
    route: Type.Optional(
      text('the name of a Route', {
        pattern: '^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$',
        description: 'The Route that takes messages from this domain.',
      }),
    ),
  },
  'A domain that an owner sends from.',
);

type Spec = Static<typeof schema>;

interface DomainRow extends DomainSettings {
  readonly owner: string;
  readonly route: string | null;
}

function rowOf(spec: Spec): DomainRow {
  const { owner, name, region = 'us-east-1', tracking = {}, configurationSet = null, route = null } = spec;
  const { tls = UNSAID_TLS, trackingSubdomain } = spec;
  return {
    name: readDomain(['spec', 'name'], name),
    owner,
    region,
    trackOpens: tracking.opens ?? false,
    trackClicks: tracking.clicks ?? false,
    trackingSubdomain: trackingSubdomain?.includes('.')
      ? readDomain(['spec', 'trackingSubdomain'], trackingSubdomain)
      : (trackingSubdomain?.toLowerCase() ?? null),
    configurationSet,
    tls,
    route,
  };
}

const DECLARED = `
  declared as (
    select * from jsonb_to_recordset($1::jsonb) as x (
      id uuid, name text, owner text, region text, "trackOpens" boolean, "trackClicks" boolean,
      "trackingSubdomain" text, "configurationSet" text, tls text, route text, spellings jsonb, shared boolean)
  )`;

/** A new route is set; none takes away the one that was. */
const KEEP_ROUTES = (made: string): string => `
  routed as (
    insert into smtp_relay_domain_routes (domain_id, route)
    select id, x.route from declared x join ${made} using (id) where x.route is not null
    on conflict (domain_id) do update set route = excluded.route
  ), unrouted as (
    delete from smtp_relay_domain_routes using declared x where domain_id = x.id and x.route is null
  )`;

const SQL = {
  readOwned: `
    select o.document, o.owned_id, d.id is not null as there, d.name, d.user_id as owner, d.region,
           d.track_opens as "trackOpens", d.track_clicks as "trackClicks",
           nullif(d.tracking_subdomain, '') as "trackingSubdomain",
           nullif(d.ses_configuration_set_name, '') as "configurationSet",
           coalesce(d.tls, '${UNSAID_TLS}') as tls, r.route
      from ${ownedBy('SendingDomain')}
      left join domains d on d.id = o.owned_id
      left join smtp_relay_domain_routes r on r.domain_id = o.owned_id`,

  /** Names are compared in lower case and in both spellings, since other programs write to this table too. */
  findStanding: `
    select asked.position, d.id
      from unnest($1::text[], $2::text[], $3::integer[]) as asked (owner, name, position)
      join domains d on (d.user_id = asked.owner or not $4) and ${comparableName('d.name')} = asked.name
     order by d.user_id = asked.owner`,

  insert: `
    with ${DECLARED}, there as (
      select x.id from declared x, jsonb_array_elements_text(spellings) as spelling
        join domains d on ${comparableName('d.name')} = spelling where d.user_id = x.owner or not shared
    ), made as (
      insert into domains (id, name, user_id, region, track_opens, track_clicks, tracking_subdomain,
                           ses_configuration_set_name, tls, created_at)
      select id, name, owner, region, "trackOpens", "trackClicks", "trackingSubdomain", "configurationSet", tls, now()
        from declared
       where id not in (select id from there)
      on conflict do nothing
      returning id
    ), ${KEEP_ROUTES('made')}
    select id from made`,

  update: `
    with ${DECLARED}, changed as (
      update domains d
         set name = x.name, user_id = x.owner, region = x.region, track_opens = x."trackOpens",
             track_clicks = x."trackClicks", tracking_subdomain = x."trackingSubdomain",
             ses_configuration_set_name = x."configurationSet", tls = x.tls,
             -- What SES said of another name says nothing of this one.
             status = case when ${comparableName('d.name')} = x.name then d.status else 'not_started' end
        from declared x where d.id = x.id
      returning d.id
    ), ${KEEP_ROUTES('changed')}
    select id from changed`,

  remove: `
    with routes as (delete from smtp_relay_domain_routes where domain_id = any($1::uuid[]))
    delete from domains where id = any($1::uuid[])`,
};

/** @param shared whether two owners may have one domain */
function statements(shared: boolean) {
  return tableOf<DomainRow>(
    SQL,
    rows => {
      const asked = rows.flatMap(({ owner, name }, index) =>
        spellings(name).map(form => ({ owner, form, position: index + 1 })),
      );
      return [
        asked.map(({ owner }) => owner),
        asked.map(({ form }) => form),
        asked.map(({ position }) => position),
        shared,
      ];
    },
    row => ({ ...row, spellings: spellings(row.name), shared }),
  );
}

/** A domain that an owner sends from. */
export const sendingDomain: Kind<Spec, DomainRow> = {
  schema,
  rowsOf: ({ spec }) => [rowOf(spec)],
  checkAmong({ route }, others) {
    if (route === null || others.has('Route', route)) return;
    const why = 'names a Route that no document declares';
    throw new FieldError(['spec', 'route'], why, 'declare it, or correct the name');
  },
  table: ({ sharedDomains }) => ({
    ...statements(sharedDomains),
    identityOf: ({ owner, name }) => (sharedDomains ? `${owner}\n${name}` : name),
    ...(!sharedDomains && { alternative: 'or set domains.shared where two owners are to have one domain' }),
  }),
};

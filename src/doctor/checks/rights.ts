import type { Queryable } from '../../postgres/pool.ts';
import { type DoctorParts, type Finding, failed, ok, type Role } from '../finding.ts';

type Privilege = 'select' | 'insert' | 'update' | 'delete';

/** A privilege on a table, or on one of its columns. */
export interface Right {
  readonly table: string;
  readonly column?: string;
  readonly privileges: readonly Privilege[];
}

const ALL: readonly Privilege[] = ['select', 'insert', 'update', 'delete'];

function on(privileges: readonly Privilege[], ...tables: readonly string[]): Right[] {
  return tables.map(table => ({ table, privileges }));
}

/** What the role of a relay needs, and nothing that it does not (docs/security.md, "Database roles"). */
const RELAY: readonly Right[] = [
  ...on(['select'], 'api_keys', 'domains', 'email_suppressions', 'smtp_relay_credentials', 'smtp_relay_blocked_keys'),
  ...on(['select'], 'smtp_relay_routes', 'smtp_relay_domain_routes', 'smtp_relay_migrations', 'smtp_relay_declared'),
  ...on(['select'], 'smtp_relay_leases', 'smtp_relay_workers'),
  { table: 'api_keys', column: 'last_used_at', privileges: ['update'] },
  { table: 'emails', column: 'id', privileges: ['select'] },
  ...on(['insert'], 'emails', 'smtp_relay_messages'),
  ...on(['select', 'insert'], 'smtp_relay_settings'),
  ...on(['select', 'insert', 'update'], 'smtp_relay_objects'),
  ...on(ALL, 'smtp_relay_outbox', 'smtp_relay_idempotency', 'smtp_relay_key_usage', 'smtp_relay_failed_logins'),
  ...on(ALL, 'smtp_relay_message_ids', 'smtp_relay_sessions', 'smtp_relay_traces', 'smtp_relay_trace_lines'),
  ...on(ALL, 'smtp_relay_arrivals'),
];

const WORKER: readonly Right[] = [
  ...on(['select'], 'domains', 'smtp_relay_routes', 'smtp_relay_domain_routes', 'smtp_relay_ended_links'),
  ...on(['select'], 'smtp_relay_migrations', 'smtp_relay_declared', 'smtp_relay_leases'),
  ...on(['select', 'insert', 'update'], 'email_suppressions', 'smtp_relay_settings', 'smtp_relay_webhooks'),
  ...on(['select', 'insert', 'update'], 'smtp_relay_send_rates', 'smtp_relay_probes'),
  ...on(['select', 'insert', 'delete'], 'email_events', 'smtp_relay_attempts', 'smtp_relay_message_ids'),
  ...on(['select', 'update'], 'webhooks'),
  ...on(['select', 'delete'], 'smtp_relay_arrivals'),
  ...on(ALL, 'emails', 'smtp_relay_messages', 'smtp_relay_outbox', 'smtp_relay_claims', 'smtp_relay_workers'),
  ...on(ALL, 'webhook_deliveries', 'smtp_relay_later_events', 'smtp_relay_objects'),
];

/** What both need where documents declare resources. */
const DECLARING: readonly Right[] = [
  ...on(ALL, 'api_keys', 'domains', 'email_suppressions', 'webhooks', 'smtp_relay_webhooks', 'smtp_relay_credentials'),
  ...on(ALL, 'smtp_relay_routes', 'smtp_relay_domain_routes', 'smtp_relay_declared'),
  ...on(['select', 'update'], 'smtp_relay_leases'),
  ...on(['select'], 'smtp_relay_blocked_keys'),
  ...on(['select', 'delete'], 'webhook_deliveries'),
];

/** What the worker needs where it has the inbox. */
const INBOX: readonly Right[] = [
  ...on(['select'], 'api_keys', 'smtp_relay_credentials', 'smtp_relay_blocked_keys', 'smtp_relay_key_usage'),
  ...on(['select'], 'smtp_relay_sessions'),
  { table: 'smtp_relay_credentials', column: 'chaos', privileges: ['update'] },
  { table: 'smtp_relay_credentials', column: 'chaos_until', privileges: ['update'] },
];

/** What of an installation asks for more rights. */
export interface Asks {
  /** Documents declare resources, which the process reconciles. */
  readonly declares: boolean;
  /** The worker has the inbox. */
  readonly hasInbox: boolean;
}

/** What a role needs of the tables. */
export function rightsOf(role: Role, { declares, hasInbox }: Asks): readonly Right[] {
  const worker = [...WORKER, ...(hasInbox ? INBOX : [])];
  return [...(role === 'worker' ? [] : RELAY), ...(role === 'relay' ? [] : worker), ...(declares ? DECLARING : [])];
}

/** A table that is not there is the schema's affair. */
const MISSING = `
  with needed as (
    select * from unnest($1::text[], $2::text[], $3::text[]) as needed ("table", "column", privilege)
     where to_regclass("table") is not null
  )
  select distinct "table", "column", privilege from needed
   where not case when "column" = '' then has_table_privilege(to_regclass("table"), privilege)
                  else has_column_privilege(to_regclass("table"), "column", privilege) end
   order by 1, 2, 3`;

interface Lack {
  readonly table: string;
  readonly column: string;
  readonly privilege: string;
}

/** Whether the role that logs in may do what relay and worker do. */
export async function checkRights({ db, config, role }: DoctorParts): Promise<Finding[]> {
  const what = 'rights';
  const { directory, byHand } = config.resources;
  const asks = { declares: directory !== '' && !byHand, hasInbox: config.inbox.enabled };
  const lacks = await lackingOf(db, rightsOf(role, asks));
  if (lacks.length === 0) return [ok(what, 'the role has all that it needs')];
  const detail = `the role may not ${lacks.map(describe).join('; ')}`;
  return [failed(what, detail, 'run the grants of docs/security.md, "Database roles", as the owner of the tables')];
}

async function lackingOf(db: Queryable, rights: readonly Right[]): Promise<Lack[]> {
  const needed = rights.flatMap(({ table, column = '', privileges }) =>
    privileges.map(privilege => ({ table, column, privilege })),
  );
  const { rows } = await db.query<Lack>(MISSING, [
    needed.map(({ table }) => table),
    needed.map(({ column }) => column),
    needed.map(({ privilege }) => privilege),
  ]);
  return rows;
}

function describe({ table, column, privilege }: Lack): string {
  return `${privilege}${column === '' ? '' : ` (${column})`} on ${table}`;
}

import type { Queryable } from '../../postgres/pool.ts';
import { type Pipeline, SHARED_TABLES } from './pipeline.ts';

/**
 * What this program reads and writes of the shared tables (contract): of each column the narrowest type that will do. `null`:
 * it is set to null at times. `omitted`: it is left out at times, so that it takes null or has a default.
 */
export const NEEDED_COLUMNS: Readonly<Record<(typeof SHARED_TABLES)[number], Readonly<Record<string, string>>>> = {
  api_keys: {
    id: 'uuid omitted',
    name: 'varchar(255)',
    token_hash: 'text',
    token_preview: 'varchar(50) null',
    permission: 'varchar(50)',
    domain: 'varchar(255) null',
    user_id: 'text',
    last_used_at: 'timestamptz omitted',
    created_at: 'timestamptz omitted',
  },
  emails: {
    id: 'uuid',
    from: 'varchar(512)',
    to: 'jsonb',
    cc: 'jsonb null',
    bcc: 'jsonb null',
    reply_to: 'jsonb null',
    subject: 'text',
    html: 'text null',
    text: 'text null',
    headers: 'jsonb null',
    attachments: 'jsonb null',
    tags: 'jsonb null',
    status: 'varchar(50)',
    user_id: 'text',
    provider_retry_count: 'integer omitted',
    provider_last_attempted_at: 'timestamptz null',
    provider_next_retry_at: 'timestamptz null',
    provider_last_error_code: 'varchar(255) null',
    provider_last_error_message: 'text null',
    provider_dead_lettered_at: 'timestamptz null',
    sent_at: 'timestamptz null',
    created_at: 'timestamptz omitted',
  },
  email_suppressions: {
    id: 'uuid omitted',
    user_id: 'text',
    email: 'varchar(512)',
    reason: 'varchar(50)',
    source_event_id: 'varchar(255) null',
    source_email_id: 'uuid null',
    source_message_id: 'varchar(255) null',
    metadata: 'jsonb null',
    suppressed_at: 'timestamptz omitted',
    updated_at: 'timestamptz omitted',
  },
  domains: {
    id: 'uuid omitted',
    name: 'varchar(255)',
    status: 'varchar(50) omitted',
    region: 'varchar(50)',
    track_clicks: 'boolean omitted',
    track_opens: 'boolean omitted',
    tls: 'varchar(20) omitted',
    tracking_subdomain: 'varchar(255) null',
    ses_configuration_set_name: 'varchar(255) null',
    user_id: 'text',
    created_at: 'timestamptz omitted',
  },
  email_events: {
    id: 'uuid',
    email_id: 'uuid null',
    source_id: 'varchar(255) null',
    type: 'varchar(50)',
    payload: 'jsonb',
    user_id: 'text null',
    received_at: 'timestamptz omitted',
  },
  webhooks: {
    id: 'uuid',
    url: 'text',
    event_types: 'jsonb',
    status: 'varchar(50)',
    signing_secret_enc: 'text null',
    user_id: 'text',
    created_at: 'timestamptz omitted',
  },
  webhook_deliveries: {
    id: 'uuid',
    webhook_id: 'uuid',
    event_id: 'uuid',
    attempt: 'integer',
    status_code: 'integer null',
    response_body: 'text null',
    status: 'varchar(50)',
    attempted_at: 'timestamptz null',
    next_retry_at: 'timestamptz null',
    created_at: 'timestamptz omitted',
  },
};

/** A shared table, or a column of one, that is missing or does not take what this program writes. */
export class TablesUnfit extends Error {
  /** One for each such table or column: `emails.from is varchar(255), and varchar(512) is needed`. */
  readonly problems: readonly string[];

  constructor(pipeline: Pipeline, problems: readonly string[], allMissing: boolean) {
    super(`${pipeline === 'standalone' ? OURS : allMissing ? NOT_YET : THEIRS}: ${problems.join('; ')}`);
    this.name = 'TablesUnfit';
    this.problems = problems;
  }
}

/** Contract, "Who makes the shared tables". */
const OLDEST = 'The oldest OpenSend that fits is v1.0.0, with its migration 0036 of 2026-06-12';
const NOT_YET =
  "OpenSend's migrations have not run in this database, and only they make the tables that both use; mail is taken as soon as " +
  `they have. ${OLDEST}. For a database of your own: smtp-relay migrate --set-pipeline standalone. Not here yet`;
const THEIRS = `OpenSend's migrations have not all run in this database; mail is taken as soon as they have. ${OLDEST}. Here`;
const OURS =
  'the tables of this database are not as this program needs them: smtp-relay migrate makes those that are missing, and the ' +
  'others are to be altered. Here';

const COLUMNS = `
  select name as "table", attname as column, format_type(atttypid, null) as type, typcategory = 'S' as "isText",
         case when atttypid in ('varchar'::regtype, 'bpchar'::regtype) and atttypmod > 4 then atttypmod - 4 end as length,
         attnotnull as required, atthasdef or attidentity <> '' as "hasDefault"
    from unnest($1::text[]) name
    join pg_attribute on attrelid = to_regclass(quote_ident(name)) and attnum > 0 and not attisdropped
    join pg_type t on t.oid = atttypid`;

interface Column {
  readonly table: string;
  readonly column: string;
  /** As Postgres prints it, without a length. */
  readonly type: string;
  /** Of the category of texts, to which types of extensions belong, too, such as citext. */
  readonly isText: boolean;
  /** Characters at most; null where nothing limits them. */
  readonly length: number | null;
  readonly required: boolean;
  readonly hasDefault: boolean;
}

/** Texts that are not kept as they are: one is filled with blanks, and the others are short. */
const POOR_TEXTS = ['character', 'name', '"char"'];
/** Types that take whatever the needed one does. */
const TYPES: Readonly<Record<string, readonly string[]>> = {
  timestamptz: ['timestamp with time zone'],
  integer: ['integer', 'bigint'],
};
const SHORT: Readonly<Record<string, string>> = {
  'character varying': 'varchar',
  character: 'char',
  'timestamp with time zone': 'timestamptz',
};

/** Looks at all shared tables by one query of the catalogue. @throws TablesUnfit */
export async function checkSharedTables(db: Queryable, pipeline: Pipeline): Promise<void> {
  const { rows } = await db.query<Column>(COLUMNS, [SHARED_TABLES]);
  const problems = SHARED_TABLES.flatMap(table =>
    problemsOf(
      table,
      rows.filter(column => column.table === table),
    ),
  );
  if (problems.length > 0) throw new TablesUnfit(pipeline, problems, rows.length === 0);
}

function problemsOf(table: (typeof SHARED_TABLES)[number], columns: readonly Column[]): string[] {
  if (columns.length === 0) return [`${table} is missing`];
  const needed = new Map(Object.entries(NEEDED_COLUMNS[table]));
  const names = new Set([...needed.keys(), ...columns.map(({ column }) => column)]);
  return [...names].flatMap(name => {
    const problem = problemOf(
      columns.find(({ column }) => column === name),
      needed.get(name),
    );
    return problem === null ? [] : [`${table}.${name} ${problem}`];
  });
}

/** @param needed undefined for a column that this program does not know, and leaves out */
function problemOf(column: Column | undefined, needed: string | undefined): string | null {
  if (!column) return 'is missing';
  const [type = '', use = needed === undefined ? 'omitted' : ''] = needed?.split(' ') ?? [];
  if (type !== '' && !takes(column, type)) return `is ${printType(column)}, and ${type} is needed`;
  if (use === 'null' && column.required) return 'does not take null';
  if (use === 'omitted' && column.required && !column.hasDefault) return 'takes no null and has no default';
  return null;
}

function takes({ type, isText, length }: Column, needed: string): boolean {
  const [, name = needed, most] = /^(\w+)\((\d+)\)$/.exec(needed) ?? [];
  if (name !== 'text' && name !== 'varchar') return (TYPES[name] ?? [name]).includes(type);
  const isLongEnough = length === null || (most !== undefined && length >= Number(most));
  return isText && !POOR_TEXTS.includes(type) && isLongEnough;
}

function printType({ type, length }: Column): string {
  const name = SHORT[type] ?? type;
  return length === null ? name : `${name}(${length})`;
}

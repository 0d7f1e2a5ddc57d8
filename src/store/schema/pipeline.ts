import { readFile } from 'node:fs/promises';
import type { Queryable } from '../../postgres/pool.ts';

/** The tables that the relay shares with an OpenSend installation (contract), by name. */
export const SHARED_TABLES = [
  'api_keys',
  'emails',
  'email_suppressions',
  'domains',
  'email_events',
  'webhooks',
  'webhook_deliveries',
] as const;

const SCRIPT = new URL('./shared-tables.sql', import.meta.url);

const FOUND = 'select name from unnest($1::text[]) name where to_regclass(quote_ident(name)) is not null';

/** Which of the shared tables there are, whoever made them, where the search path finds them. */
export async function findSharedTables(db: Queryable): Promise<string[]> {
  const { rows } = await db.query<{ name: string }>(FOUND, [SHARED_TABLES]);
  return rows.map(({ name }) => name);
}

/** Makes those that are missing, for a database of the relay's own. Where others may do so at the same moment, the caller has a lock. */
export async function makeSharedTables(db: Queryable): Promise<void> {
  await db.query(await readFile(SCRIPT, 'utf8'));
}

export const PIPELINES = ['opensend', 'standalone'] as const;

/** `opensend`: beside an installation, whose worker delivers. `standalone`: with this program's own worker. */
export type Pipeline = (typeof PIPELINES)[number];

/** The database is recorded as belonging to the other pipeline. The message says how to get out of it. */
export class PipelineMismatch extends Error {
  constructor(recorded: string, configured: Pipeline) {
    super(
      `this database is used with SMTP_RELAY_PIPELINE=${recorded}, but this process is configured for ${configured}: ` +
        `rows written for one are not delivered by the other's worker. Set SMTP_RELAY_PIPELINE=${recorded}, or, once ` +
        `nothing is queued any more, change the database with: smtp-relay migrate --set-pipeline ${configured}`,
    );
    this.name = 'PipelineMismatch';
  }
}

/** Shared tables are there, and nothing says that this program made them and its worker is the one to deliver. */
export class ForeignInstallation extends Error {
  constructor(tables: readonly string[]) {
    super(
      `this database has tables that this program did not make (${tables.join(', ')}), as that of an OpenSend installation ` +
        'has, whose own worker delivers its messages: with SMTP_RELAY_PIPELINE=standalone they would be sent twice. For a ' +
        'relay beside OpenSend set SMTP_RELAY_PIPELINE=opensend and run no worker. Where it is a database of your own, run: ' +
        'smtp-relay migrate --set-pipeline standalone',
    );
    this.name = 'ForeignInstallation';
  }
}

/** The database is empty, and whether its shared tables are to be made depends on the pipeline, which nobody has named. */
export class PipelineUnstated extends Error {
  constructor() {
    super(
      'this database is empty, and nothing says what it is for: set SMTP_RELAY_PIPELINE=standalone (or `pipeline` in a file of ' +
        'SMTP_RELAY_CONFIG) for a database of your own, whose tables are then made here, or SMTP_RELAY_PIPELINE=opensend for ' +
        'one of OpenSend, whose own migrations make the tables that both use; or run: smtp-relay migrate --set-pipeline ' +
        '<pipeline>',
    );
    this.name = 'PipelineUnstated';
  }
}

const HAS_SETTINGS = `select to_regclass('smtp_relay_settings') is not null as found`;

const CLAIM = `
  insert into smtp_relay_settings (key, value) values ('pipeline', $1) on conflict (key) do nothing`;

const READ = `select value from smtp_relay_settings where key = 'pipeline'`;

const SET = `
  insert into smtp_relay_settings (key, value) values ('pipeline', $1)
  on conflict (key) do update set value = excluded.value, updated_at = now()`;

/**
 * Records `pipeline` as this database's where none is recorded, so that a relay and a worker cannot disagree unnoticed.
 *
 * @throws PipelineMismatch, ForeignInstallation
 */
export async function claimPipeline(db: Queryable, pipeline: Pipeline): Promise<void> {
  const recorded = await requirePipeline(db, pipeline);
  if (recorded === pipeline) return;
  await db.query(CLAIM, [pipeline]);
  await requirePipeline(db, pipeline);
}

/**
 * Makes sure, before anything is changed, that this database may be used with `pipeline`: it is recorded for that, or for
 * none yet. Tables that nobody has recorded may be an OpenSend installation's, also while they are empty, so they never
 * become a worker's own by themselves.
 *
 * @returns the recorded one, null where none is
 * @throws PipelineMismatch, ForeignInstallation
 */
export async function requirePipeline(db: Queryable, pipeline: Pipeline): Promise<Pipeline | null> {
  const recorded = await readPipeline(db);
  if (recorded === pipeline) return pipeline;
  if (recorded !== null) throw new PipelineMismatch(recorded, pipeline);
  const found = pipeline === 'standalone' ? await findSharedTables(db) : [];
  if (found.length > 0) throw new ForeignInstallation(found);
  return null;
}

/** The recorded pipeline, or null before the first claim. */
export async function readPipeline(db: Queryable): Promise<string | null> {
  const { rows: settings } = await db.query<{ found: boolean }>(HAS_SETTINGS);
  if (!settings[0]?.found) return null;
  const { rows } = await db.query<{ value: string }>(READ);
  return rows[0]?.value ?? null;
}

/** Records `pipeline` whatever was recorded before: the operator's way out of a mismatch. */
export async function setPipeline(db: Queryable, pipeline: Pipeline): Promise<void> {
  await db.query(SET, [pipeline]);
}

import type { Queryable } from './pool.ts';

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

/** The database has messages, and nothing says that this program's worker is the one to deliver them. */
export class ForeignInstallation extends Error {
  constructor() {
    super(
      'this database belongs to an OpenSend installation, whose own worker delivers its messages (no relay has recorded ' +
        'SMTP_RELAY_PIPELINE=standalone in it), so this worker does not start: a message would be sent twice. Where it is a ' +
        'database of your own, start the relay with SMTP_RELAY_PIPELINE=standalone first, or run: smtp-relay migrate ' +
        '--set-pipeline standalone',
    );
    this.name = 'ForeignInstallation';
  }
}

const LOOK = `
  select to_regclass('emails') is not null as "hasEmails", to_regclass('smtp_relay_settings') is not null as "hasSettings"`;

const CLAIM = `
  insert into smtp_relay_settings (key, value) values ('pipeline', $1) on conflict (key) do nothing`;

const READ = `select value from smtp_relay_settings where key = 'pipeline'`;

const SET = `
  insert into smtp_relay_settings (key, value) values ('pipeline', $1)
  on conflict (key) do update set value = excluded.value, updated_at = now()`;

/**
 * Records `pipeline` as this database's where none is recorded, so that a relay and a worker cannot disagree unnoticed.
 * Throws `PipelineMismatch` where the other one is recorded.
 */
export async function claimPipeline(db: Queryable, pipeline: Pipeline): Promise<void> {
  const recorded = await readPipeline(db);
  if (recorded === pipeline) return;
  if (recorded === null) await db.query(CLAIM, [pipeline]);
  const winner = await readPipeline(db);
  if (winner !== pipeline) throw new PipelineMismatch(String(winner), pipeline);
}

/**
 * Makes sure, before anything is changed, that a worker may deliver what is in this database: it is marked as standalone, or
 * has no table of messages at all as yet.
 *
 * @throws ForeignInstallation, PipelineMismatch
 */
export async function requireStandalone(db: Queryable): Promise<void> {
  const { rows } = await db.query<{ hasEmails: boolean; hasSettings: boolean }>(LOOK);
  if (!rows[0]?.hasEmails) return;
  const recorded = rows[0].hasSettings ? await readPipeline(db) : null;
  if (recorded === null) throw new ForeignInstallation();
  if (recorded !== 'standalone') throw new PipelineMismatch(recorded, 'standalone');
}

/** The recorded pipeline, or null before the first claim. */
export async function readPipeline(db: Queryable): Promise<string | null> {
  const { rows } = await db.query<{ value: string }>(READ);
  return rows[0]?.value ?? null;
}

/** Records `pipeline` whatever was recorded before: the operator's way out of a mismatch. */
export async function setPipeline(db: Queryable, pipeline: Pipeline): Promise<void> {
  await db.query(SET, [pipeline]);
}

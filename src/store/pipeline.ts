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

/** The recorded pipeline, or null before the first claim. */
export async function readPipeline(db: Queryable): Promise<string | null> {
  const { rows } = await db.query<{ value: string }>(READ);
  return rows[0]?.value ?? null;
}

/** Records `pipeline` whatever was recorded before: the operator's way out of a mismatch. */
export async function setPipeline(db: Queryable, pipeline: Pipeline): Promise<void> {
  await db.query(SET, [pipeline]);
}

import { checkSharedTables, TablesUnfit } from '../../store/schema/check-tables.ts';
import { expectedSchemaVersion, schemaVersion } from '../../store/schema/migrate.ts';
import { ForeignInstallation, PipelineMismatch, requirePipeline } from '../../store/schema/pipeline.ts';
import { advice, type DoctorParts, type Finding, failed, ok } from '../finding.ts';

/** Whether the database is one for this pipeline, and has the tables that this version needs. */
export async function checkSchema({ db, config }: DoctorParts): Promise<Finding[]> {
  const pipeline = await checkPipeline({ db, config });
  if (pipeline.state === 'failed') return [pipeline];
  const version = await checkVersion({ db, config });
  // Until migrations have run, everything is missing.
  if (version.state !== 'ok') return [pipeline, version];
  return [pipeline, version, await checkTables({ db, config })];
}

type Parts = Pick<DoctorParts, 'db' | 'config'>;

async function checkPipeline({ db, config: { pipeline } }: Parts): Promise<Finding> {
  const what = 'pipeline';
  try {
    const recorded = await requirePipeline(db, pipeline);
    return ok(what, recorded ?? `${pipeline}, which the first relay records`);
  } catch (error) {
    if (!(error instanceof PipelineMismatch || error instanceof ForeignInstallation)) throw error;
    return failed(what, error.message, 'set SMTP_RELAY_PIPELINE, or DATABASE_URL to the database that was meant');
  }
}

async function checkVersion({ db, config: { migrations } }: Parts): Promise<Finding> {
  const what = 'schema';
  const [found, expected] = await Promise.all([schemaVersion(db), expectedSchemaVersion()]);
  if (found === expected) return ok(what, `version ${found}`);
  if (found > expected) return ok(what, `version ${found}, newer than this program's ${expected}, which works too`);
  const detail = `version ${found}, and this program needs ${expected}`;
  if (migrations === 'auto') {
    return advice(what, `${detail}: the next start of a relay or worker mends it`, 'now: smtp-relay migrate');
  }
  return failed(what, detail, 'run: smtp-relay migrate, or set SMTP_RELAY_MIGRATIONS=auto');
}

async function checkTables({ db, config: { pipeline } }: Parts): Promise<Finding> {
  const what = 'shared tables';
  try {
    await checkSharedTables(db, pipeline);
    return ok(what, 'as this program needs them');
  } catch (error) {
    if (!(error instanceof TablesUnfit)) throw error;
    const remedy =
      pipeline === 'standalone'
        ? 'run: smtp-relay migrate'
        : "run OpenSend's migrations; v1.0.0 is the oldest that fits";
    return failed(what, error.problems.join('; '), remedy);
  }
}

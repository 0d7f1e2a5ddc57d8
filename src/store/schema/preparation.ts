import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../../observability/log.ts';
import type { DatabaseUrl } from '../../postgres/client.ts';
import { isUnreachable } from '../../postgres/errors.ts';
import type { Queryable } from '../../postgres/pool.ts';
import { checkSharedTables, TablesUnfit } from './check-tables.ts';
import { expectedSchemaVersion, migrate, schemaVersion } from './migrate.ts';
import { claimPipeline, ForeignInstallation, type Pipeline, PipelineMismatch, requirePipeline } from './pipeline.ts';

export interface PreparationOptions {
  /** Where migrations go; the database itself, even where the pool's connections go through a pooler. */
  readonly databaseUrl: DatabaseUrl;
  readonly pool: pg.Pool;
  readonly pipeline: Pipeline;
  /** `auto`: bring the schema up to date. `none`: only make sure that it is. */
  readonly migrations: 'auto' | 'none';
  /** Milliseconds to wait for a connection. */
  readonly connectTimeout: number;
  readonly logger: Logger;
}

/** Why a database is away is not for everyone: it may name addresses and users. */
const UNPREPARED = 'the database is not prepared yet';
const RETRY = 2_000;
/** Milliseconds after which the same reason is logged once more. */
const REMIND = 60_000;

/** The database has not been brought to this version's schema, and this process is not to do it. */
export class SchemaOutdated extends Error {
  constructor(found: number, expected: number) {
    super(
      `the database has schema version ${found}, and this program needs ${expected}: run "smtp-relay migrate", or set ` +
        'SMTP_RELAY_MIGRATIONS=auto',
    );
    this.name = 'SchemaOutdated';
  }
}

/** What waiting does not mend, since it takes another configuration or another database. */
function isFinal(error: unknown): boolean {
  return [ForeignInstallation, PipelineMismatch, SchemaOutdated].some(kind => error instanceof kind);
}

/**
 * Makes sure that the database is what this process expects: schema, pipeline, and the tables shared with OpenSend. A database
 * that cannot be reached, or in which OpenSend's migrations have not run, is waited for in the background, so that a relay that
 * starts too early works as soon as it can.
 */
export class Preparation {
  readonly #options: PreparationOptions;
  readonly #stopped = new AbortController();
  readonly #becameReady = Promise.withResolvers<void>();
  #ready = false;
  #unfit: readonly string[] = [];
  #reason = UNPREPARED;
  #logged = { reason: '', at: Number.NEGATIVE_INFINITY };
  #waiting: Promise<void> = Promise.resolve();

  constructor(options: PreparationOptions) {
    this.#options = options;
    // Who does not look at it is not to fall by it.
    this.#becameReady.promise.catch(() => {});
  }

  get isReady(): boolean {
    return this.#ready;
  }

  /** Why it is not ready, for people; empty where it is. */
  get reasons(): readonly string[] {
    return this.#ready ? [] : [this.#reason];
  }

  /** How many shared tables, or columns of them, were missing or too narrow when they were last looked at. */
  get unfit(): number {
    return this.#unfit.length;
  }

  /**
   * Resolves when the database is usable; never where it does not become so before `stop`. Rejects where a database that was
   * away turns out to be one that this process is not for.
   */
  get ready(): Promise<void> {
    return this.#becameReady.promise;
  }

  /** @throws whatever is wrong with the database, but for what is waited for */
  async start(): Promise<void> {
    try {
      await this.#prepare();
    } catch (error) {
      if (!isUnreachable(error) && !(error instanceof TablesUnfit)) throw error;
      this.#tell(error);
      this.#waiting = this.#retry();
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#waiting;
  }

  async #retry(): Promise<void> {
    while (!this.#ready && !this.#stopped.signal.aborted) {
      await delay(RETRY, undefined, { signal: this.#stopped.signal }).catch(() => {});
      if (this.#stopped.signal.aborted) return;
      try {
        await this.#prepare();
      } catch (error) {
        if (isFinal(error)) return this.#becameReady.reject(error);
        this.#tell(error);
      }
    }
  }

  /** Says why it waits; the same reason not at each turn. */
  #tell(error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#reason = error instanceof TablesUnfit ? reason : UNPREPARED;
    const { logger } = this.#options;
    const now = performance.now();
    if (reason === this.#logged.reason && now - this.#logged.at < REMIND) return;
    this.#logged = { reason, at: now };
    if (error instanceof TablesUnfit) logger.error({ problems: error.problems }, error.message);
    else if (isUnreachable(error)) logger.error({ err: error }, 'database unreachable; waiting for it');
    else logger.error({ err: error }, 'database not usable yet');
  }

  async #prepare(): Promise<void> {
    const { databaseUrl, pool, pipeline, migrations, connectTimeout, logger } = this.#options;
    if (migrations === 'auto') {
      const { applied } = await migrate(databaseUrl, { pipeline, logger, connectTimeout });
      if (applied.length > 0) logger.info({ applied }, 'database migrated');
    } else {
      await requirePipeline(pool, pipeline);
      const [found, expected] = await Promise.all([schemaVersion(pool), expectedSchemaVersion()]);
      if (found < expected) throw new SchemaOutdated(found, expected);
      await claimPipeline(pool, pipeline);
    }
    await this.#checkTables();
    await warnOfEncoding(pool, logger);
    this.#ready = true;
    this.#becameReady.resolve();
  }

  async #checkTables(): Promise<void> {
    const { pool, pipeline, logger } = this.#options;
    const waited = this.#unfit.length > 0;
    try {
      await checkSharedTables(pool, pipeline);
    } catch (error) {
      if (error instanceof TablesUnfit) this.#unfit = error.problems;
      throw error;
    }
    this.#unfit = [];
    if (waited) logger.info('the shared tables are there');
  }
}

const READ = `select current_setting('server_encoding') as encoding`;

/**
 * Says so where the database keeps text in another encoding than UTF-8: a message with a character that it lacks cannot be
 * stored, however often its client tries. Which encoding it is was said when the database was made, and stays.
 */
export async function warnOfEncoding(db: Queryable, logger: Logger): Promise<void> {
  const { rows } = await db.query<{ encoding: string }>(READ);
  const encoding = rows[0]?.encoding;
  if (encoding === undefined || encoding === 'UTF8') return;
  logger.error(
    { encoding },
    'the database does not keep text in UTF8: messages with characters that it lacks get 451 for ever; move to one with encoding UTF8',
  );
}

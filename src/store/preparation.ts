import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { Logger } from '../observability/log.ts';
import type { DatabaseUrl } from './client.ts';
import { warnOfEncoding } from './encoding.ts';
import { expectedSchemaVersion, migrate, schemaVersion } from './migrate.ts';
import { claimPipeline, ForeignInstallation, type Pipeline, PipelineMismatch, requirePipeline } from './pipeline.ts';
import { isUnreachable } from './unreachable.ts';

export interface PreparationOptions {
  /** Where migrations go; the database itself, even where the pool's connections go through a pooler. */
  readonly databaseUrl: DatabaseUrl;
  readonly pool: pg.Pool;
  readonly pipeline: Pipeline;
  /** `auto`: bring the schema up to date. `none`: only make sure that it is. */
  readonly migrations: 'auto' | 'none';
  /** This process delivers, so nothing is done to a database that may be an OpenSend installation's. */
  readonly delivers?: boolean;
  /** Milliseconds to wait for a connection. */
  readonly connectTimeout: number;
  readonly logger: Logger;
}

const RETRY = 2_000;

function isForeign(error: unknown): boolean {
  return error instanceof ForeignInstallation || error instanceof PipelineMismatch;
}

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

/**
 * Makes sure that the database is what this process expects: schema and pipeline. A database that cannot be reached is
 * waited for in the background, so that a relay that starts during an outage works as soon as it ends.
 */
export class Preparation {
  readonly #options: PreparationOptions;
  readonly #stopped = new AbortController();
  readonly #becameReady = Promise.withResolvers<void>();
  #ready = false;
  #waiting: Promise<void> = Promise.resolve();

  constructor(options: PreparationOptions) {
    this.#options = options;
  }

  get isReady(): boolean {
    return this.#ready;
  }

  /**
   * Resolves when the database is usable; never where it does not become so before `stop`. For who delivers, it rejects where
   * a database that was away turns out to be another's.
   */
  get ready(): Promise<void> {
    return this.#becameReady.promise;
  }

  /** @throws whatever is wrong with the database, but for its being unreachable */
  async start(): Promise<void> {
    try {
      await this.#prepare();
    } catch (error) {
      if (!isUnreachable(error)) throw error;
      this.#options.logger.error({ err: error }, 'database unreachable; waiting for it');
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
      await this.#prepare().catch(error => {
        if (this.#options.delivers && isForeign(error)) return this.#becameReady.reject(error);
        const level = isUnreachable(error) ? 'warn' : 'fatal';
        this.#options.logger[level]({ err: error }, 'database not usable yet');
      });
    }
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
    await warnOfEncoding(pool, logger);
    this.#ready = true;
    this.#becameReady.resolve();
  }
}

import type pg from 'pg';
import type { Logger } from '../observability/log.ts';
import { watchFolders, withFoldersBelow } from '../platform/watch-folders.ts';
import { giveLeaseBack, leaseHolder, takeLease } from '../postgres/lease.ts';
import type { Folders } from './documents/mounted-files.ts';
import type { Tables } from './kinds/kinds.ts';
import type { DeclarationMetrics } from './metrics.ts';
import { createDeclarationReader, fingerprintOf, type ReadDeclarations } from './plan/declarations.ts';
import { printProblem } from './problem.ts';
import { LeaseLost, type PassResult, reconcile } from './reconcile.ts';
import { type DeclarationsReport, type PassReport, readReport } from './report.ts';
import type { Unreconciled } from './unreconciled.ts';

export interface ReconcilerOptions {
  readonly pool: pg.Pool;
  readonly tables: Tables;
  readonly folders: Folders & { readonly secrets: string };
  /** Milliseconds between two comparisons of the database with the documents. */
  readonly interval: number;
  /** Whether documents that are all gone are meant to be. */
  readonly allowEmpty: () => boolean;
  /** Names this process among all. */
  readonly id: string;
  readonly metrics: DeclarationMetrics;
  readonly logger: Logger;
  /** Milliseconds that the lease lasts; it is renewed after a third of that. */
  readonly leaseTime?: number;
}

const LEASE_TIME = 30_000;
const MOST_PROBLEMS = 100;

/**
 * Makes the database match the documents for as long as this process has the lease: at once when a document or a secret
 * changes, and from time to time, since others write to the database too.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #leaseTime: number;
  readonly #read: ReadDeclarations = createDeclarationReader();
  #isLeader = false;
  #lastPass: PassReport | null = null;
  #fingerprint = '';
  #reported = '';
  /** Passes take turns. */
  #turn: Promise<void> = Promise.resolve();
  #contending: Promise<void> = Promise.resolve();
  #end: (() => void) | undefined;
  #isStopped = false;
  #isComparing = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#leaseTime = options.leaseTime ?? LEASE_TIME;
  }

  /** Does nothing after `stop`: the database may become ready while the process ends. */
  start(): void {
    if (this.#isStopped) return;
    const { folders, interval, logger } = this.#options;
    const contend = () => {
      this.#contending = this.#contend();
    };
    const renew = setInterval(contend, this.#leaseTime / 3).unref();
    const compare = setInterval(() => this.#compare(), interval).unref();
    const unwatch = watchFolders({
      folders: [folders.documents, folders.secrets].flatMap(withFoldersBelow),
      look: () => this.#inTurn(() => this.#look()),
      onFault: (error, folder) => logger.warn({ err: error, folder }, 'folder cannot be watched; it is polled'),
    });
    this.#end = () => {
      clearInterval(renew);
      clearInterval(compare);
      unwatch();
    };
    contend();
  }

  /** Ends what is under way, and lets another process go on. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#end?.();
    await Promise.all([this.#contending, this.#turn]);
    if (!this.#isLeader) return;
    this.#lead(false);
    const { pool, id, logger } = this.#options;
    await giveLeaseBack(pool, id).catch(error => logger.debug({ err: error }, 'lease of resources not given back'));
  }

  /** How all declarations stand, and what this process did. */
  report(unreconciled: Unreconciled | null = null): Promise<DeclarationsReport> {
    return readReport(this.#options.pool, { isLeader: this.#isLeader, lastPass: this.#lastPass, unreconciled });
  }

  /** The lease is taken or renewed at once, also while a pass goes on. */
  async #contend(): Promise<void> {
    const { pool, id, logger } = this.#options;
    try {
      // A batch of our own that is being written holds the row, so that it cannot be renewed just now.
      const hasLease =
        (await takeLease(pool, id, this.#leaseTime)) || (this.#isLeader && (await leaseHolder(pool)) === id);
      if (hasLease === this.#isLeader) return;
      this.#lead(hasLease);
      if (hasLease) await this.#inTurn(() => this.#pass());
    } catch (error) {
      // A lease that may have ended is no lease. The database tells in any case, before anything is written.
      this.#lead(false);
      logger.debug({ err: error }, 'lease of resources cannot be taken');
    }
  }

  #lead(isLeader: boolean): void {
    if (isLeader !== this.#isLeader) {
      this.#options.logger.info({ isLeader }, isLeader ? 'reconciles declared resources' : 'reconciles no longer');
    }
    this.#isLeader = isLeader;
    this.#options.metrics.leads(isLeader);
  }

  /** A pass that takes longer than the interval is not followed by all those that came due meanwhile. */
  #compare(): void {
    if (this.#isComparing) return;
    this.#isComparing = true;
    void this.#inTurn(() => this.#pass()).finally(() => {
      this.#isComparing = false;
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(work);
    return this.#turn;
  }

  /** Compares only where a document or a secret has changed. */
  async #look(): Promise<void> {
    if (!this.#isLeader) return;
    const { folders, logger } = this.#options;
    const declarations = await this.#read([folders.documents], folders).catch(error => {
      logger.error({ err: error }, 'declared resources cannot be read');
      return null;
    });
    if (declarations !== null && fingerprintOf(declarations) !== this.#fingerprint) await this.#pass();
  }

  async #pass(): Promise<void> {
    if (!this.#isLeader || this.#isStopped) return;
    const { metrics, logger } = this.#options;
    const begun = performance.now();
    const seconds = () => (performance.now() - begun) / 1000;
    try {
      const result = await this.#reconcile();
      metrics.passed(seconds(), result.records);
      this.#note(result, seconds());
    } catch (error) {
      metrics.failed(seconds());
      if (error instanceof LeaseLost) return this.#lead(false);
      const changes = { created: 0, updated: 0, removed: 0 };
      const name = error instanceof Error ? error.name : 'unknown';
      const at = new Date().toISOString();
      const { problems = [], kept = 0 } = this.#lastPass ?? {};
      this.#lastPass = { at, seconds: seconds(), changes, kept, error: name, problems };
      logger.error({ err: error }, 'declared resources were not reconciled; tried again later');
    }
  }

  async #reconcile(): Promise<PassResult> {
    const { folders, pool, tables, id, allowEmpty } = this.#options;
    const declarations = await this.#read([folders.documents], folders);
    const result = await reconcile(declarations, { pool, tables, holder: id, allowEmpty: allowEmpty() });
    this.#fingerprint = fingerprintOf(declarations);
    return result;
  }

  #note({ declarations, written, changes, done, kept }: PassResult, seconds: number): void {
    const { metrics, logger } = this.#options;
    const problems = declarations.problems.slice(0, MOST_PROBLEMS);
    if (kept > 0 && kept !== this.#lastPass?.kept) {
      const text = 'documents are gone, all of a folder; what they declared is kept: is a volume not mounted?';
      logger.error({ kept, folders: declarations.paths }, text);
    }
    this.#lastPass = { at: new Date().toISOString(), seconds, changes, kept, error: null, problems };
    metrics.problems(declarations.problems.length);
    metrics.kept(kept);
    for (const { kind, action } of done) metrics.changed(kind, action);
    if (done.length > 0) logger.info({ ...changes }, 'declared resources reconciled');
    for (const { kind, name, reason, message } of written.filter(({ ready }) => !ready)) {
      logger.warn({ kind, name, reason }, `declared resource is not ready: ${message}`);
    }
    // What is wrong is told once, not at every pass.
    const lines = problems.map(printProblem);
    if (lines.length > 0 && lines.join('\n') !== this.#reported) {
      logger.warn(
        { problems: lines, whole: declarations.isWhole },
        'documents are not right; what they declared before stays',
      );
    }
    this.#reported = lines.join('\n');
  }
}

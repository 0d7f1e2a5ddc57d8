import type { Queryable } from '../postgres/pool.ts';
import type { Reconciler } from './reconciler.ts';
import { type ResourcesReport, readReport } from './report.ts';
import type { UnreconciledWatch } from './unreconciled-watch.ts';

export interface DeclaredResourcesParts {
  readonly db: Queryable;
  /** null where no documents are mounted. */
  readonly reconciler: Reconciler | null;
  readonly watch: UnreconciledWatch;
}

/** What a process does about declared resources: it makes the database match where it has documents, and looks that somebody does. */
export class DeclaredResources {
  readonly #parts: DeclaredResourcesParts;

  constructor(parts: DeclaredResourcesParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#parts.reconciler?.start();
    this.#parts.watch.start();
  }

  async stop(): Promise<void> {
    this.#parts.watch.stop();
    await this.#parts.reconciler?.stop();
  }

  /** undefined where nothing is declared, and no documents are mounted that could declare anything. */
  async report(): Promise<ResourcesReport | undefined> {
    const { db, reconciler, watch } = this.#parts;
    const unreconciled = await watch.find();
    if (reconciler !== null) return reconciler.report(unreconciled);
    const report = await readReport(db, { isLeader: false, lastPass: null, unreconciled });
    return report.total === 0 ? undefined : report;
  }
}

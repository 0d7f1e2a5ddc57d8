import type { Context } from '../context.ts';
import { createSecretBox } from '../webhooks/signing.ts';
import type { Reconciler } from './reconciler.ts';
import { type DeclarationsReport, readReport } from './report.ts';
import { createUnreconciledMetric, UnreconciledWatch } from './unreconciled.ts';

/** The part of a process that makes the database match its documents, or looks that another process does. */
export interface Reconciliation {
  start(): void;
  stop(): Promise<void>;
  /** undefined where nothing is declared, and no documents are mounted that could declare anything. */
  report(): Promise<DeclarationsReport | undefined>;
}

/** Milliseconds. Twice the time of a lease: the process that had it may have died, and the next one looks from time to time. */
const GRACE = 60_000;

export async function createReconciliation(parts: Context): Promise<Reconciliation> {
  const { live, pool, registry, logger } = parts;
  const reconciler = await createReconciler(parts);
  const watch = new UnreconciledWatch({
    db: pool,
    // A process without documents will never reconcile, so there is nothing to wait for.
    grace: reconciler === null ? 0 : GRACE,
    isByHand: () => live.current.resources.byHand,
    tell: createUnreconciledMetric(registry),
    logger: logger.child({ room: 'resources' }),
  });
  return {
    start() {
      reconciler?.start();
      watch.start();
    },
    async stop() {
      watch.stop();
      await reconciler?.stop();
    },
    async report() {
      const unreconciled = await watch.find();
      if (reconciler !== null) return reconciler.report(unreconciled);
      const report = await readReport(pool, { isLeader: false, lastPass: null, unreconciled });
      return report.total === 0 ? undefined : report;
    },
  };
}

/** null where no documents are configured. */
async function createReconciler(parts: Context): Promise<Reconciler | null> {
  const { live, pool, registry, logger, id } = parts;
  const { resources, webhooks, pipeline, domains } = live.current;
  const { directory, secretsDirectory, interval } = resources;
  if (directory === '') return null;
  // Loaded here: the library for their schemas alone is 680 modules.
  const [{ createTables }, { createDeclarationMetrics }, { Reconciler }] = await Promise.all([
    import('./kinds/kinds.ts'),
    import('./metrics.ts'),
    import('./reconciler.ts'),
  ]);
  const box = createSecretBox(webhooks.secretKeys);
  return new Reconciler({
    pool,
    tables: createTables({ box, pipeline, sharedDomains: domains.shared }),
    folders: { documents: directory, secrets: secretsDirectory || directory },
    interval,
    allowEmpty: () => live.current.resources.allowEmpty,
    id,
    metrics: createDeclarationMetrics(registry),
    logger: logger.child({ room: 'resources' }),
  });
}

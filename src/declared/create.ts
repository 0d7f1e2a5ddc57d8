import type pg from 'pg';
import type { LiveConfig } from '../config/live.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { createSecretBox } from '../webhooks/signing.ts';
import { DeclaredResources } from './declared-resources.ts';
import { createResourcesMetrics } from './metrics.ts';
import type { Reconciler } from './reconciler.ts';
import { createUnreconciledMetric } from './unreconciled-metrics.ts';
import { UnreconciledWatch } from './unreconciled-watch.ts';

export interface ResourcesParts {
  readonly live: LiveConfig;
  readonly pool: pg.Pool;
  readonly registry: Registry;
  readonly logger: Logger;
  /** Names this process among all, new with each start. */
  readonly id: string;
}

/** Milliseconds. Twice the time of a lease: the process that had it may have died, and the next one looks from time to time. */
const GRACE = 60_000;

/** What the configuration makes of declared resources. */
export async function createResources(parts: ResourcesParts): Promise<DeclaredResources> {
  const { live, pool, registry, logger } = parts;
  const reconciler = await createReconciler(parts);
  const watch = new UnreconciledWatch({
    db: pool,
    // Who has no documents will never reconcile, so there is nothing to wait for.
    grace: reconciler === null ? 0 : GRACE,
    isByHand: () => live.current.resources.byHand,
    tell: createUnreconciledMetric(registry),
    logger: logger.child({ room: 'resources' }),
  });
  return new DeclaredResources({ db: pool, reconciler, watch });
}

/** null where no documents are configured. */
async function createReconciler(parts: ResourcesParts): Promise<Reconciler | null> {
  const { live, pool, registry, logger, id } = parts;
  const { resources, webhooks, pipeline, domains } = live.current;
  const { directory, secretsDirectory, interval } = resources;
  if (directory === '') return null;
  // Loaded here: the library for their schemas alone is 680 modules.
  const [{ createAdapters }, { Reconciler }] = await Promise.all([import('./adapters.ts'), import('./reconciler.ts')]);
  return new Reconciler({
    pool,
    adapters: createAdapters(createSecretBox(webhooks.secretKeys), { pipeline, sharedDomains: domains.shared }),
    folders: { documents: directory, secrets: secretsDirectory || directory },
    interval,
    allowEmpty: () => live.current.resources.allowEmpty,
    id,
    metrics: createResourcesMetrics(registry),
    logger: logger.child({ room: 'resources' }),
  });
}

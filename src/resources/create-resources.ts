import type pg from 'pg';
import type { LiveConfig } from '../config/live.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { createSecretBox } from '../webhooks/secret-box.ts';
import { createAdapters } from './adapters.ts';
import { createResourcesMetrics } from './metrics.ts';
import { Reconciler } from './reconciler.ts';

export interface ResourcesParts {
  readonly live: LiveConfig;
  readonly pool: pg.Pool;
  readonly registry: Registry;
  readonly logger: Logger;
  /** Names this process among all, new with each start. */
  readonly id: string;
}

/** The reconciler as the configuration has it; null where no documents are configured. */
export function createResources({ live, pool, registry, logger, id }: ResourcesParts): Reconciler | null {
  const { resources, webhooks, pipeline } = live.current;
  const { directory, secretsDirectory, interval } = resources;
  if (directory === '') return null;
  return new Reconciler({
    pool,
    adapters: createAdapters(createSecretBox(webhooks.secretKeys), pipeline),
    folders: { documents: directory, secrets: secretsDirectory || directory },
    interval,
    allowEmpty: () => live.current.resources.allowEmpty,
    id,
    metrics: createResourcesMetrics(registry),
    logger: logger.child({ room: 'resources' }),
  });
}

import type pg from 'pg';
import manifest from '../../package.json' with { type: 'json' };
import type { LiveConfig } from '../config/live.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import type { ThreadedQueue } from '../queue/threaded-queue.ts';
import { checkDatabase } from '../store/check.ts';
import type { Listener } from './listener.ts';
import type { HttpMetrics } from './metrics.ts';
import { type Condition, createOperationalListener, type OperationalListenerOptions } from './operational.ts';

export interface OperationalParts {
  readonly live: LiveConfig;
  readonly role: OperationalListenerOptions['role'];
  readonly pool: pg.Pool;
  readonly queue: ThreadedQueue | null;
  readonly ready: () => Condition;
  /** null where none are declared. */
  readonly resources: { report(): Promise<unknown> } | null;
  readonly registry: Registry;
  readonly metrics: HttpMetrics;
  readonly logger: Logger;
}

/** null where the configuration asks for no such listener. */
export function createOperational(parts: OperationalParts): Listener | null {
  const { live, role, pool, queue, ready, resources, registry, metrics, logger } = parts;
  const { httpHost: host, httpPort: port } = live.current;
  if (port === 0) return null;
  return createOperationalListener({
    host,
    port,
    role,
    version: manifest.version,
    checks: {
      ready,
      configuration: () => live.status(),
      ...(resources && { resources: () => resources.report() }),
      dependencies: { postgres: () => checkDatabase(pool), ...(queue && { sqs: () => queue.check() }) },
    },
    registry,
    metrics,
    logger: logger.child({ room: 'http' }),
  });
}

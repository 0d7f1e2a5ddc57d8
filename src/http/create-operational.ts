import type pg from 'pg';
import manifest from '../../package.json' with { type: 'json' };
import type { LiveConfig } from '../config/live.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { checkDatabase } from '../postgres/check.ts';
import type { ThreadedQueue } from '../queue/sqs/threads/threaded-queue.ts';
import type { Listener } from './listener.ts';
import type { HttpMetrics } from './metrics.ts';
import { type Condition, createOperationalListener, type OperationalListenerOptions } from './operational.ts';

export interface OperationalParts {
  readonly live: LiveConfig;
  readonly role: OperationalListenerOptions['role'];
  readonly pool: pg.Pool;
  readonly queue: ThreadedQueue | null;
  readonly ready: () => Condition;
  readonly resources: { report(): Promise<Condition | undefined> };
  /** Ways out that cannot be used just now; for workers. */
  readonly shutRoutes?: () => readonly unknown[];
  readonly registry: Registry;
  readonly metrics: HttpMetrics;
  readonly logger: Logger;
}

/** The operational listener of a process. */
export interface Operational extends Pick<Listener, 'close'> {
  /**
   * Listens. Where nobody chose the port and another process has it, there is a warning and no listener: messages do not
   * need it, and what ran beside that process before there was a listener is to go on.
   *
   * @returns the port; undefined without one
   * @throws Error that names the variable to set, where the port was chosen or is not to be had for another reason
   */
  open(): Promise<number | undefined>;
}

/** null where the configuration asks for no such listener. */
export function createOperational(parts: OperationalParts): Operational | null {
  const { live, role, pool, queue, ready, resources, shutRoutes, registry, metrics, logger } = parts;
  const { httpHost: host, httpPort: port } = live.current;
  if (port === 0) return null;
  const listener = createOperationalListener({
    host,
    port,
    role,
    version: manifest.version,
    checks: {
      ready,
      configuration: () => live.status(),
      resources: () => resources.report(),
      ...(shutRoutes && { shutRoutes }),
      dependencies: { postgres: () => checkDatabase(pool), ...(queue && { sqs: () => queue.check() }) },
    },
    registry,
    metrics,
    logger: logger.child({ room: 'http' }),
  });
  const isChosen = live.isGiven('httpPort');
  return {
    open: () =>
      listener.open().catch((error: Error) => {
        if (isChosen || !isTaken(error.cause)) throw error;
        logger.warn({ err: error }, 'no health and no metrics: the default port for them is taken');
        return undefined;
      }),
    close: milliseconds => listener.close(milliseconds),
  };
}

function isTaken(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'EADDRINUSE';
}

import type pg from 'pg';
import type { LiveConfig } from './config/live.ts';
import type { Logger } from './observability/log.ts';
import type { Registry } from './observability/metrics.ts';
import type { Tracer } from './observability/tracing.ts';

/** What every room of a process gets. */
export interface Context {
  readonly live: LiveConfig;
  readonly pool: pg.Pool;
  readonly registry: Registry;
  readonly tracer: Tracer;
  /** Of the process: each room has a child of it, which bears the name of the room. */
  readonly logger: Logger;
  /** Names the process among all, new with each start. */
  readonly id: string;
}

import { setTimeout as delay } from 'node:timers/promises';
import type { Queryable } from '../../postgres/pool.ts';
import { sweepAttempts, sweepDeliveries, sweepEvents } from './events.ts';
import { sweepBodies, sweepMessages, sweepRaw } from './messages.ts';
import type { Sweep } from './sweep.ts';

/** How long each kind is kept, in milliseconds; `Infinity` is for ever. */
export interface RetentionPeriods {
  /** Messages as they were received. */
  readonly raw: number;
  /** Text, HTML and attachments in `emails`. */
  readonly bodies: number;
  /** Events, and attempts at messages that are not kept any more. */
  readonly events: number;
  /** Webhook deliveries that are done. */
  readonly deliveries: number;
  /** Messages as a whole, with all of the above. Left out, for ever. */
  readonly messages?: number;
}

export const RETENTION_KINDS = ['raw', 'bodies', 'deliveries', 'events', 'attempts', 'messages'] as const;
export type RetentionKind = (typeof RETENTION_KINDS)[number];

/** One statement of a sweep. */
export interface RetentionBatch {
  readonly kind: RetentionKind;
  readonly removed: number;
  readonly milliseconds: number;
}

export interface RetentionOptions {
  readonly db: Queryable;
  readonly periods: RetentionPeriods;
  /** Ends it behind the batch under way. */
  readonly signal: AbortSignal;
  readonly onBatch?: (batch: RetentionBatch) => void;
}

/** Milliseconds. A batch that took longer is followed by a smaller one: others wait for its disk and its locks. */
const LONG_BATCH = 50;
/** Rows. */
const FIRST_BATCH = 200;
const MIN_BATCH = 20;
const MAX_BATCH = 2_000;
const MIN_PAUSE = 5;

/**
 * Removes what has been kept for its time, of messages that are done: by small statements, each a transaction of its own, with
 * a pause as long as the statement took behind each. So mail goes on meanwhile.
 *
 * @returns rows removed of each kind
 * @throws the database's error; what was removed until then stays removed
 */
export async function applyRetention(options: RetentionOptions): Promise<Record<RetentionKind, number>> {
  const removed: Record<RetentionKind, number> = {
    raw: 0,
    bodies: 0,
    deliveries: 0,
    events: 0,
    attempts: 0,
    messages: 0,
  };
  for (const kind of RETENTION_KINDS) {
    const period = options.periods[kind === 'attempts' ? 'events' : kind] ?? Number.POSITIVE_INFINITY;
    if (period === Number.POSITIVE_INFINITY || options.signal.aborted) continue;
    const sweep = await SWEEPS[kind](options.db, period / 1000);
    removed[kind] = await run(kind, sweep, options);
  }
  return removed;
}

const SWEEPS: Readonly<Record<RetentionKind, (db: Queryable, seconds: number) => Sweep | Promise<Sweep>>> = {
  raw: sweepRaw,
  bodies: sweepBodies,
  deliveries: sweepDeliveries,
  events: sweepEvents,
  attempts: sweepAttempts,
  messages: sweepMessages,
};

async function run(kind: RetentionKind, sweep: Sweep, { signal, onBatch }: RetentionOptions): Promise<number> {
  let total = 0;
  let limit = FIRST_BATCH;
  while (!signal.aborted) {
    const began = performance.now();
    const { removed, finished } = await sweep.next(limit);
    const milliseconds = performance.now() - began;
    total += removed;
    onBatch?.({ kind, removed, milliseconds });
    if (finished) break;
    limit = milliseconds > LONG_BATCH ? Math.max(MIN_BATCH, limit >> 1) : Math.min(MAX_BATCH, Math.ceil(limit * 1.25));
    await delay(Math.max(MIN_PAUSE, milliseconds), undefined, { signal }).catch(() => {});
  }
  await sweep.close?.();
  return total;
}

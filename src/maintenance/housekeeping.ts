import { Counter, Histogram } from 'prom-client';
import { period } from '../config/formats/time.ts';
import { repeat, spread } from '../flow/loop.ts';
import type { ObjectStore } from '../objects/store.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { endTurn, takeTurn } from '../postgres/lease.ts';
import type { Queryable } from '../postgres/pool.ts';
import { Republisher } from '../store/delivery/republish.ts';
import { condemnObjects, forgetObjects } from '../store/messages/objects.ts';
import { applyRetention, RETENTION_KINDS, type RetentionPeriods } from '../store/retention/retention.ts';

export interface HousekeepingDependencies {
  readonly db: Queryable;
  readonly objects: Pick<ObjectStore, 'remove'>;
  readonly periods: RetentionPeriods;
  /** Milliseconds; `worker.republishAfter`. */
  readonly republishAfter: number;
  /** Milliseconds between two looks for objects that no message names; a minute unless given. */
  readonly objectsInterval?: number;
  readonly metrics: HousekeepingMetrics;
  readonly logger: Logger;
}

/** Milliseconds between two looks for lost jobs, at most. */
const REPUBLISH_INTERVAL = 60_000;
/** Milliseconds between two looks whether retention is due, at most. */
const RETENTION_LOOK = 60_000;
/** Milliseconds from the end of one retention run, of whichever worker, to the next. */
const RETENTION_INTERVAL = { least: 5_000, most: 3_600_000 };
/** What is kept for a day may be there an hour longer. */
const RUNS_A_PERIOD = 24;
/** A run over large tables pauses so many times as long as it took. */
const RETENTION_REST = 20;
/** Milliseconds that a run belongs to its worker. A longer one is joined by another worker, which does no harm. */
const RETENTION_TURN = 6 * 3_600_000;
const RETENTION = 'retention';
const OBJECTS_INTERVAL = 60_000;
/** Milliseconds for which a look at them belongs to its worker. */
const OBJECTS_TURN = 600_000;
const OBJECTS = 'objects';
/** Object storage takes no more in one call. */
const OBJECTS_AT_ONCE = 1_000;

/** What a worker does beside sending: it publishes lost jobs again, and removes what has been kept for its time. */
export class Housekeeping {
  readonly #dependencies: HousekeepingDependencies;
  readonly #republisher: Republisher;
  readonly #retentionInterval: number;
  readonly #objectsInterval: number;
  readonly #stopped = new AbortController();
  #loops: readonly Promise<void>[] = [];

  constructor(dependencies: HousekeepingDependencies) {
    this.#dependencies = dependencies;
    this.#republisher = new Republisher({ db: dependencies.db, after: dependencies.republishAfter });
    this.#retentionInterval = intervalFor(dependencies.periods);
    this.#objectsInterval = dependencies.objectsInterval ?? OBJECTS_INTERVAL;
  }

  start(): void {
    const { republishAfter } = this.#dependencies;
    this.#tellPeriods();
    this.#loops = [
      this.#repeat(Math.min(REPUBLISH_INTERVAL, republishAfter), 'lost jobs not published again', () =>
        this.#republish(),
      ),
      this.#repeat(Math.min(RETENTION_LOOK, this.#retentionInterval), 'retention was interrupted', () =>
        this.#retain(),
      ),
      this.#repeat(this.#objectsInterval, 'objects that no message names are not removed', () => this.#removeObjects()),
    ];
  }

  /** Ends behind the statement under way. Never rejects. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#loops);
  }

  /** At each start: what is deleted is gone, and not everybody has read of the default. */
  #tellPeriods(): void {
    const { periods, logger } = this.#dependencies;
    const kept = Object.fromEntries(Object.entries(periods).map(([kind, time]) => [kind, period.print(time)]));
    const { messages = 'forever' } = kept;
    logger.info(
      { retention: kept },
      messages === 'forever'
        ? 'messages are never deleted, so that the database grows for ever (retention.messages)'
        : `messages that are done are deleted ${messages} after they came in, with their events and attempts (retention.messages)`,
    );
  }

  #repeat(interval: number, complaint: string, work: () => Promise<void>): Promise<void> {
    const onFault = (error: unknown): void => this.#dependencies.logger.warn({ err: error }, complaint);
    return repeat(work, { pause: () => spread(interval), signal: this.#stopped.signal, onFault });
  }

  async #republish(): Promise<void> {
    const { logger, metrics } = this.#dependencies;
    let jobs = 0;
    for (let finished = false; !finished && !this.#stopped.signal.aborted; ) {
      const step = await this.#republisher.next();
      jobs += step.jobs;
      metrics.republished.inc(step.jobs);
      ({ finished } = step);
    }
    if (jobs > 0) logger.warn({ jobs }, 'messages were queued without a job; published again');
  }

  async #retain(): Promise<void> {
    const { db, periods, logger, metrics } = this.#dependencies;
    if (this.#retentionInterval === Number.POSITIVE_INFINITY || !(await takeTurn(db, RETENTION, RETENTION_TURN)))
      return;
    const began = performance.now();
    try {
      const removed = await applyRetention({
        db,
        periods,
        signal: this.#stopped.signal,
        onBatch: batch => {
          metrics.removed.inc({ kind: batch.kind }, batch.removed);
          metrics.batchSeconds.observe({ kind: batch.kind }, batch.milliseconds / 1000);
        },
      });
      if (Object.values(removed).some(count => count > 0)) logger.info(removed, 'removed what was kept for its time');
    } finally {
      const rest = Math.max(this.#retentionInterval, RETENTION_REST * (performance.now() - began));
      // Whoever is stopped in the middle leaves the rest to the next.
      await endTurn(db, RETENTION, this.#stopped.signal.aborted ? 0 : rest);
    }
  }

  /** Of messages that are kept no more, and of those that never came to be stored. */
  async #removeObjects(): Promise<void> {
    const { db, objects, logger, metrics } = this.#dependencies;
    if (!(await takeTurn(db, OBJECTS, OBJECTS_TURN))) return;
    let total = 0;
    try {
      for (let goesOn = true; goesOn && !this.#stopped.signal.aborted; ) {
        const condemned = await condemnObjects(db, OBJECTS_AT_ONCE);
        const removed = condemned.length > 0 ? await objects.remove(condemned) : [];
        await forgetObjects(db, removed);
        metrics.objects.inc(removed.length);
        total += removed.length;
        goesOn = condemned.length === OBJECTS_AT_ONCE && removed.length > 0;
      }
    } finally {
      if (total > 0) logger.info({ objects: total }, 'removed objects that no message names');
      await endTurn(db, OBJECTS, this.#stopped.signal.aborted ? 0 : this.#objectsInterval / 2);
    }
  }
}

/** `Infinity` where everything is kept for ever. */
function intervalFor(periods: RetentionPeriods): number {
  const shortest = Math.min(...Object.values(periods));
  if (shortest === Number.POSITIVE_INFINITY) return shortest;
  const { least, most } = RETENTION_INTERVAL;
  return Math.min(most, Math.max(least, shortest / RUNS_A_PERIOD));
}

export interface HousekeepingMetrics {
  readonly republished: Counter;
  readonly removed: Counter<'kind'>;
  readonly objects: Counter;
  readonly batchSeconds: Histogram<'kind'>;
}

export function createHousekeepingMetrics(registry: Registry): HousekeepingMetrics {
  const registers = [registry];
  const labelNames = ['kind'] as const;
  return {
    republished: new Counter({
      name: 'smtp_relay_republished_jobs_total',
      help: 'Jobs published again because a message was queued without one.',
      registers,
    }),
    removed: new Counter<'kind'>({
      name: 'smtp_relay_retention_removed_total',
      help: `Rows removed, or emptied, after the time they are kept for; kind is one of ${RETENTION_KINDS.join(', ')}.`,
      labelNames,
      registers,
    }),
    objects: new Counter({
      name: 'smtp_relay_objects_removed_total',
      help: 'Originals removed from object storage, since no message names them any more, or never did.',
      registers,
    }),
    batchSeconds: new Histogram<'kind'>({
      name: 'smtp_relay_retention_batch_seconds',
      help: 'How long one statement of retention took.',
      labelNames,
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5],
      registers,
    }),
  };
}

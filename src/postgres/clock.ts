import { Gauge } from 'prom-client';
import { repeat } from '../flow/loop.ts';
import { startStopwatch } from '../flow/stopwatch.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import type { Queryable } from './pool.ts';

export interface DatabaseClockOptions {
  readonly db: Queryable;
  readonly logger: Logger;
  readonly registry: Registry;
  /** Milliseconds between two looks at the database's clock. */
  readonly interval?: number;
  /** The clock of this machine, in milliseconds since 1970. */
  readonly local?: () => number;
}

/** The time by the database's clock, which all pods share, however wrong that of this machine is. */
export interface DatabaseClock {
  /** While the database is away, this machine's clock with the difference that was known last. */
  now(): Date;
  /** Resolves when the difference is known, or cannot be had just now. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const INTERVAL = 5_000;
/** Milliseconds; from this on there is a warning. Receivers of webhooks refuse what is five minutes off. */
const WORTH_WARNING = 30_000;
const WARNING_INTERVAL = 600_000;
/** An answer that took longer says nothing: the difference is somewhere within it. */
const TOO_SLOW = 2_000;

const READ = `select (extract(epoch from clock_timestamp()) * 1000)::float8 as now`;

/** @param offset milliseconds to add to this machine's clock */
export function createClockMetrics(registry: Registry, offset: () => number): void {
  new Gauge({
    name: 'smtp_relay_clock_offset_seconds',
    help: "How many seconds this machine's clock is ahead of the database's, by which webhooks are signed.",
    registers: [registry],
    collect() {
      this.set(0 - offset() / 1000);
    },
  });
}

/** One look at the database's clock. @throws the database's error */
export async function databaseTime(db: Queryable): Promise<Date> {
  const { rows } = await db.query<{ now: number }>(READ);
  return new Date(rows[0]?.now ?? Number.NaN);
}

/** Looks at the database's clock as a heartbeat. */
export function createDatabaseClock(options: DatabaseClockOptions): DatabaseClock {
  const { db, logger, registry, interval = INTERVAL, local = Date.now } = options;
  const stopped = new AbortController();
  let offset = 0;
  let warnedAt = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> = Promise.resolve();
  createClockMetrics(registry, () => offset);

  /** Never rejects. */
  async function look(): Promise<void> {
    try {
      const elapsed = startStopwatch();
      const { rows } = await db.query<{ now: number }>(READ);
      const took = elapsed();
      const [row] = rows;
      if (!row || took > TOO_SLOW) return;
      offset = Math.round(row.now + took / 2 - local());
    } catch (error) {
      logger.debug({ err: error }, "the database's clock cannot be read");
      return;
    }
    if (Math.abs(offset) < WORTH_WARNING || performance.now() - warnedAt < WARNING_INTERVAL) return;
    warnedAt = performance.now();
    const seconds = Math.round(-offset / 1000);
    logger.warn(
      { seconds },
      "this machine's clock is wrong, or the database's: so many seconds ahead of it. Set both by NTP",
    );
  }

  return {
    now: () => new Date(local() + offset),
    async start() {
      await look();
      looking = repeat(look, { pause: interval, signal: stopped.signal });
    },
    async stop() {
      stopped.abort();
      await looking;
    },
  };
}

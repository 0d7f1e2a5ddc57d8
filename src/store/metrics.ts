import type pg from 'pg';
import { Gauge } from 'prom-client';
import type { Registry } from '../observability/metrics.ts';
import { createReading } from '../observability/metrics.ts';
import type { OutboxBacklog } from './messages/outbox.ts';

/** How the connections of a pool stand. */
export type PoolState = Pick<pg.Pool, 'totalCount' | 'idleCount' | 'waitingCount'>;

export interface StoreMetricsParts {
  readonly pool: PoolState;
  readonly poolSize: number;
  /** Asked for at scrapes, at most once a second. */
  readonly readOutbox: () => Promise<OutboxBacklog>;
  /** How many shared tables, or columns of them, do not do. */
  readonly unfit: () => number;
}

/** What every process has to do with the database. */
export function createStoreMetrics(registry: Registry, { pool, poolSize, readOutbox, unfit }: StoreMetricsParts): void {
  addPool(registry, pool, poolSize);
  new Gauge({
    name: 'smtp_relay_shared_tables_unfit',
    help: "Tables shared with OpenSend, or columns of them, that are missing or too narrow; while it is above 0, OpenSend's migrations have not all run, and this process waits for them, not ready",
    registers: [registry],
    collect() {
      this.set(unfit());
    },
  });
  addOutbox(registry, readOutbox);
}

function addPool(registry: Registry, pool: PoolState, poolSize: number): void {
  const registers = [registry];
  new Gauge({
    name: 'smtp_relay_database_connections',
    help: 'Connections to the database by state: used, idle',
    labelNames: ['state'],
    registers,
    collect() {
      this.set({ state: 'used' }, pool.totalCount - pool.idleCount);
      this.set({ state: 'idle' }, pool.idleCount);
    },
  });
  new Gauge({
    name: 'smtp_relay_database_connections_limit',
    help: 'Connections to the database that this process may have (database.poolSize)',
    registers,
  }).set(poolSize);
  new Gauge({
    name: 'smtp_relay_database_connections_waited_for',
    help: 'Queries that wait for a connection to become free',
    registers,
    collect() {
      this.set(pool.waitingCount);
    },
  });
}

/** Gauges of one query. */
function addOutbox(registry: Registry, readOutbox: () => Promise<OutboxBacklog>): void {
  const read = createReading({ read: readOutbox });
  const registers = [registry];
  new Gauge({
    name: 'smtp_relay_outbox_jobs',
    help: 'Send jobs in the outbox, in the whole installation, counted up to 100000, by state: due, later (the next try of a message); missing while the database is away',
    labelNames: ['state'],
    registers,
    async collect() {
      const backlog = await read();
      this.reset();
      if (backlog === null) return;
      this.set({ state: 'due' }, backlog.due);
      this.set({ state: 'later' }, backlog.later);
    },
  });
  new Gauge({
    name: 'smtp_relay_outbox_oldest_due_seconds',
    help: 'For how long the first send job in the outbox has been due, in the whole installation; 0 where none is',
    registers,
    async collect() {
      const backlog = await read();
      if (backlog === null) this.remove();
      else this.set(backlog.oldestSeconds);
    },
  });
}

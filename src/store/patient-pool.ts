import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../observability/log.ts';
import { isFull } from './unreachable.ts';

export interface PatientPoolOptions extends pg.PoolConfig {
  /** Milliseconds; 0 waits for ever. */
  readonly connectionTimeoutMillis: number;
}

type Connected = NonNullable<Parameters<pg.Pool['connect']>[0]>;

/** Milliseconds between two tries, and up to as many more, so that pods do not all try at once. */
const PAUSE = 100;
/** Milliseconds in which it is said once. */
const QUIET = 10_000;

/**
 * A pool that waits where the server has no connection to spare, as it does where it has none of its own: until one of its
 * own is free, or the server has one, for `connectionTimeoutMillis` at most. Pods that an upgrade starts beside others may
 * together want more than the server's `max_connections` for a while.
 */
export class PatientPool extends pg.Pool {
  readonly #timeout: number;
  readonly #logger: Logger;
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(options: PatientPoolOptions, logger: Logger) {
    super(options);
    this.#timeout = options.connectionTimeoutMillis || Number.POSITIVE_INFINITY;
    this.#logger = logger;
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(callback: Connected): void;
  override connect(callback?: Connected): Promise<pg.PoolClient> | undefined {
    const connected = this.#connect();
    if (!callback) return connected;
    connected.then(
      client => callback(undefined, client, error => client.release(error)),
      error => callback(error, undefined, () => {}),
    );
    return undefined;
  }

  async #connect(): Promise<pg.PoolClient> {
    const deadline = performance.now() + this.#timeout;
    for (;;) {
      try {
        return await super.connect();
      } catch (error) {
        if (!isFull(error) || this.ending || performance.now() > deadline) throw error;
      }
      this.#say();
      await sleep(PAUSE * (1 + Math.random()));
    }
  }

  #say(): void {
    if (performance.now() - this.#saidAt < QUIET) return;
    this.#saidAt = performance.now();
    this.#logger.warn('the database has no connection to spare (max_connections); waiting for one');
  }
}

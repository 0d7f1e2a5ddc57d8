import { repeat } from '../flow/loop.ts';
import type { Logger } from '../observability/log.ts';
import type { Queryable } from '../postgres/pool.ts';
import { beat, countLive, LIVES_FOR, remove } from '../store/delivery/workers.ts';

export interface WorkerHeartbeatDependencies {
  readonly db: Queryable;
  readonly workerId: string;
  readonly logger: Logger;
  readonly options?: {
    /** Milliseconds between two signs of life. */
    readonly interval: number;
    /** Milliseconds after which a worker that is not heard of counts no more. */
    readonly within: number;
  };
}

const DEFAULTS = { interval: 5_000, within: LIVES_FOR };

/** Tells the other workers of this one, and this one how many there are: they share the send rate. */
export class WorkerHeartbeat {
  readonly #dependencies: WorkerHeartbeatDependencies;
  readonly #stopped = new AbortController();
  #live = 1;
  #beating: Promise<void> = Promise.resolve();

  constructor(dependencies: WorkerHeartbeatDependencies) {
    this.#dependencies = dependencies;
  }

  /** This worker included. While the database is away: as it was before. */
  get liveWorkers(): number {
    return this.#live;
  }

  /** Resolves after the first sign of life, so that a new worker does not begin with the whole rate. */
  async start(): Promise<void> {
    await this.#beat();
    const { interval } = this.#dependencies.options ?? DEFAULTS;
    this.#beating = repeat(() => this.#beat(), { pause: interval, signal: this.#stopped.signal });
  }

  /** Leaves its share to the others. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#beating;
    const { db, workerId, logger } = this.#dependencies;
    await remove(db, workerId).catch(error => logger.warn({ err: error }, 'this worker is not signed off'));
  }

  /** Never rejects. */
  async #beat(): Promise<void> {
    const { db, workerId, logger, options = DEFAULTS } = this.#dependencies;
    try {
      await beat(db, workerId);
      this.#live = Math.max(1, await countLive(db, options.within));
    } catch (error) {
      logger.warn({ err: error }, 'this worker could not give a sign of life');
    }
  }
}

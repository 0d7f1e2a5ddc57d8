import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import type { Logger } from '../observability/log.ts';
import { requestCancel } from './cancel-statement.ts';
import { isFull } from './errors.ts';

export interface PatientPoolOptions extends pg.PoolConfig {
  /** Milliseconds; 0 waits for ever. */
  readonly connectionTimeoutMillis: number;
  readonly Client: new (config?: pg.ClientConfig) => pg.Client;
}

type Connected = NonNullable<Parameters<pg.Pool['connect']>[0]>;

/** Milliseconds between two tries, and up to as many more, so that pods do not all try at once. */
const PAUSE = 100;
/** Milliseconds in which it is said once. */
const QUIET = 10_000;
/** Milliseconds in which the server is to hear that nobody waits for a statement any more. */
const CANCEL_TIME = 500;

/**
 * A pool that waits where the server has no connection to spare, as it does where it has none of its own: until one of its
 * own is free, or the server has one, for `connectionTimeoutMillis` at most. Pods that an upgrade starts beside others may
 * together want more than the server's `max_connections` for a while.
 */
export class PatientPool extends pg.Pool {
  readonly #timeout: number;
  readonly #logger: Logger;
  /** Those that have a connection, or are getting one. */
  readonly #clients: ReadonlySet<pg.Client>;
  #hasLetGo = false;
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(options: PatientPoolOptions, logger: Logger) {
    const clients = new Set<pg.Client>();
    super({ ...options, Client: kept(options.Client, clients) });
    this.#clients = clients;
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
      if (this.#hasLetGo) throw new Error('no more connections: the process ends');
      try {
        return await super.connect();
      } catch (error) {
        if (!isFull(error) || this.ending || performance.now() > deadline) throw error;
      }
      this.#say();
      await sleep(PAUSE * (1 + Math.random()));
    }
  }

  /**
   * Gives up whatever is under way, be it a statement that waits for a lock or a connection that does not come about: the server
   * is asked to cancel it, and whoever waits for it gets an error. Nothing more can be asked, so that `end` takes a moment only.
   */
  async letGo(): Promise<void> {
    this.#hasLetGo = true;
    // That those end which nobody uses is no news.
    this.removeAllListeners('error').on('error', () => {});
    const clients = [...this.#clients];
    const asked = Promise.allSettled(clients.map(requestCancel));
    await Promise.race([asked, sleep(CANCEL_TIME)]);
    for (const client of clients) (client as unknown as Wire).connection.stream.destroy();
  }

  #say(): void {
    if (performance.now() - this.#saidAt < QUIET) return;
    this.#saidAt = performance.now();
    this.#logger.warn('the database has no connection to spare (max_connections); waiting for one');
  }
}

/** What the driver knows of a connection and does not declare. */
interface Wire {
  readonly connection: { readonly stream: { destroy(): void } };
}

/** The same, of which each is in the set until its connection has ended. */
function kept(Client: PatientPoolOptions['Client'], clients: Set<pg.Client>): PatientPoolOptions['Client'] {
  return class extends Client {
    constructor(config?: pg.ClientConfig) {
      super(config);
      clients.add(this);
      this.once('end', () => clients.delete(this));
    }
  };
}

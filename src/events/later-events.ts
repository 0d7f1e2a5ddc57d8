import type pg from 'pg';
import { WakeUp } from '../flow/bell.ts';
import type { Logger } from '../observability/log.ts';
import { recordLater } from '../store/events/later.ts';

export interface LaterEventsDependencies {
  readonly pool: pg.Pool;
  /** Webhook deliveries have become due. */
  readonly onDeliveriesDue: () => void;
  readonly logger: Logger;
}

/** Events of one commit. */
const BATCH = 200;
/** Milliseconds between two looks for what workers that are gone have left. */
const LOOK = 5_000;
/** Two looks are so far apart at least. */
const SOON = 50;

/** Tells in time what is to be told later of mail that was only played. All workers do, each event is told by one. */
export class LaterEvents {
  readonly #dependencies: LaterEventsDependencies;
  readonly #awake = new WakeUp();
  #isStopping = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(dependencies: LaterEventsDependencies) {
    this.#dependencies = dependencies;
  }

  start(): void {
    this.#loop = this.#run();
  }

  /** Some were kept just now. */
  wake(): void {
    this.#awake.wake();
  }

  /** Ends behind the commit under way: what is left is told by others, or after the next start. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#awake.wake();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (!this.#isStopping) {
      this.#awake.reset();
      const pause = await this.#tell().catch(error => {
        this.#dependencies.logger.warn({ err: error }, 'events of simulated mail are not told yet');
        return LOOK;
      });
      if (!this.#isStopping) await this.#awake.wait(pause);
    }
  }

  /** @returns milliseconds until the next look */
  async #tell(): Promise<number> {
    const { pool, onDeliveriesDue } = this.#dependencies;
    const { deliveriesDue, nextIn } = await recordLater(pool, BATCH);
    if (deliveriesDue) onDeliveriesDue();
    return nextIn === null ? LOOK : Math.min(LOOK, Math.max(SOON, nextIn));
  }
}

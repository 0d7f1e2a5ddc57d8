import type { QueuePace } from './pace.ts';
import type { LeasedJob } from './pending-jobs.ts';
import type { SendJob } from './send-job.ts';

/** The outbox as it is swept (`store/messages/outbox.ts`). */
export interface SweptOutbox {
  leaseDue(limit: number, leaseMs: number): Promise<SendJob[]>;
  takeInTurn(limit: number, leaseMs: number, leftOut: readonly (string | null)[]): Promise<SendJob[]>;
}

export interface OutboxHelpingsOptions {
  readonly outbox: SweptOutbox;
  /** null: the queue takes whatever there is. */
  readonly pace: QueuePace | null;
  /** Milliseconds for which what is taken is ours. */
  readonly leaseTime: number;
}

const LIMIT = 500;
/** While the queue is full: of those who publish little. */
const BESIDES = 50;

/** Takes from the outbox what is due and nobody publishes, a helping at a time. */
export class OutboxHelpings {
  readonly #options: OutboxHelpingsOptions;
  #last = 0;

  constructor(options: OutboxHelpingsOptions) {
    this.#options = options;
  }

  /** Whether more is there at once, and may be published. */
  get goesOn(): boolean {
    const { pace } = this.#options;
    return pace ? this.#last > 0 && pace.room >= BESIDES : this.#last === LIMIT;
  }

  /** Whether the queue is all that keeps more from it. */
  get isHeldBack(): boolean {
    return this.#options.pace !== null && this.#last > 0;
  }

  async take(): Promise<LeasedJob[]> {
    const leasedUntil = performance.now() + this.#options.leaseTime;
    this.#last = 0;
    const jobs = await this.#jobs();
    this.#last = jobs.length;
    return jobs.map(job => ({ job, leasedUntil }));
  }

  async #jobs(): Promise<SendJob[]> {
    const { outbox, pace, leaseTime } = this.#options;
    if (pace === null) return outbox.leaseDue(LIMIT, leaseTime);
    const room = Math.floor(Math.min(pace.room, LIMIT));
    const jobs =
      room > 0
        ? await outbox.takeInTurn(room, leaseTime, [])
        : await outbox.takeInTurn(BESIDES, leaseTime, pace.served);
    for (const { userId } of jobs) pace.goes(userId);
    return jobs;
  }
}

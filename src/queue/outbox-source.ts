import type { Logger } from '../observability/log.ts';
import type { HandleJobs, JobOutcome, JobSource, TakenJob } from './job-source.ts';
import type { QueueMetrics } from './metrics.ts';
import { Outage } from './outage.ts';
import { WakeUp } from './wake-up.ts';

/** A job in the outbox; `try` tells it from the other tries of the same message. */
export interface OutboxJob extends TakenJob {
  readonly try: number;
}

/** The outbox as its consumer needs it (`store/outbox.ts`). */
export interface ConsumedOutbox {
  takeInTurn(limit: number, leaseMs: number): Promise<OutboxJob[]>;
  renew(jobs: readonly OutboxJob[], leaseMs: number): Promise<void>;
  release(jobs: readonly OutboxJob[]): Promise<void>;
  remove(jobs: readonly OutboxJob[]): Promise<void>;
  postpone(failures: readonly { emailId: string; try: number; reason: string }[]): Promise<void>;
}

export interface OutboxSourceOptions {
  /** Jobs that are taken and not handled yet, at most. */
  readonly limit: number;
  /** Milliseconds between two looks where nothing wakes it. */
  readonly pollInterval: number;
  /** Milliseconds for which an entry is ours unless renewed. */
  readonly leaseTime: number;
}

export interface OutboxSourceDependencies {
  readonly options: OutboxSourceOptions;
  readonly outbox: ConsumedOutbox;
  /** Calls `wake` when there may be something new (`store/notifications.ts`), until it is stopped. */
  readonly listen: (wake: () => void) => { stop(): Promise<void> };
  readonly handle: HandleJobs;
  readonly logger: Logger;
  readonly metrics: QueueMetrics;
}

/** As many as SQS would give. Small, since there is room for others only when all jobs of a batch are handled. */
const BATCH = 10;
const MAX_TAKEN = 100;
const PAUSES = { firstPause: 250, longestPause: 5_000 };

/** Takes jobs straight from the outbox, where there is no queue. */
export function createOutboxSource(dependencies: OutboxSourceDependencies): JobSource {
  return new OutboxSource(dependencies);
}

class OutboxSource implements JobSource {
  readonly #dependencies: OutboxSourceDependencies;
  readonly #outage: Outage;
  readonly #stopped = new AbortController();
  readonly #wakeUp = new WakeUp();
  readonly #batches = new Map<readonly OutboxJob[], Promise<void>>();
  /** What is to be given back: more than a moment's worth while the database is away. */
  #owed: readonly OutboxJob[] = [];
  #listener: { stop(): Promise<void> } | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #taking: Promise<void> = Promise.resolve();

  constructor(dependencies: OutboxSourceDependencies) {
    this.#dependencies = dependencies;
    this.#outage = new Outage({ ...PAUSES, logger: dependencies.logger, what: 'jobs cannot be taken or handled' });
  }

  start(): void {
    const { listen, options } = this.#dependencies;
    this.#listener = listen(() => this.#wakeUp.wake());
    this.#renewal = setInterval(() => void this.#renew(), options.leaseTime / 3);
    this.#taking = this.#takeForever();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#wakeUp.wake();
    await Promise.all([this.#taking, this.#listener?.stop()]);
    await Promise.all(this.#batches.values());
    await this.#giveBackOwed();
    clearInterval(this.#renewal);
  }

  get #taken(): OutboxJob[] {
    return [...this.#batches.keys()].flat();
  }

  async #takeForever(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      // What wakes us from here on is newer than what we are about to read.
      this.#wakeUp.reset();
      try {
        await this.#outage.passed(signal);
        if (await this.#take()) continue;
      } catch (error) {
        if (signal.aborted) return;
        this.#outage.failed(error);
        continue;
      }
      await this.#wakeUp.wait(this.#dependencies.options.pollInterval);
    }
  }

  /** @returns whether there may be more to take at once */
  async #take(): Promise<boolean> {
    const { outbox, options, metrics } = this.#dependencies;
    await this.#giveBackOwed();
    const room = Math.min(options.limit - this.#taken.length, MAX_TAKEN);
    if (room <= 0) return false;
    const jobs = await outbox.takeInTurn(room, options.leaseTime);
    if (jobs.length === 0) return false;
    metrics.received('job', jobs.length);
    if (this.#stopped.signal.aborted) {
      await this.#giveBack(jobs);
      return false;
    }
    for (let start = 0; start < jobs.length; start += BATCH) this.#begin(jobs.slice(start, start + BATCH));
    return true;
  }

  #begin(jobs: readonly OutboxJob[]): void {
    const handled = this.#handle(jobs).finally(() => {
      this.#batches.delete(jobs);
      this.#wakeUp.wake();
    });
    this.#batches.set(jobs, handled);
  }

  /** Never rejects. */
  async #handle(jobs: readonly OutboxJob[]): Promise<void> {
    const { handle, metrics } = this.#dependencies;
    let outcomes: readonly JobOutcome[] = [];
    try {
      outcomes = await handle(jobs);
      this.#outage.succeeded();
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#outage.failed(error);
    }
    // A job of our own whose message is gone is nobody else's either.
    const isOver = (index: number): boolean => outcomes[index] === 'done' || outcomes[index] === 'foreign';
    const done = jobs.filter((_, index) => isOver(index));
    const left = jobs.filter((_, index) => !isOver(index));
    metrics.handled('done', done.length);
    metrics.handled('left', left.length);
    await Promise.all([this.#remove(done), this.#giveBack(left)]);
  }

  /** Never rejects: a job that is not removed is taken again when its lease ends, and found to be done. */
  async #remove(jobs: readonly OutboxJob[]): Promise<void> {
    if (jobs.length === 0) return;
    await this.#dependencies.outbox
      .remove(jobs)
      .catch(error => this.#dependencies.logger.warn({ err: error, jobs: jobs.length }, 'jobs not removed yet'));
  }

  async #giveBack(jobs: readonly OutboxJob[]): Promise<void> {
    this.#owed = [...this.#owed, ...jobs];
    await this.#giveBackOwed();
  }

  /**
   * To others at once when this process ends; otherwise after a pause that grows. Never rejects: what cannot be given back
   * stays owed until the next look, and at the worst its lease ends.
   */
  async #giveBackOwed(): Promise<void> {
    const jobs = this.#owed;
    this.#owed = [];
    if (jobs.length === 0) return;
    const { outbox, logger } = this.#dependencies;
    try {
      if (this.#stopped.signal.aborted) await outbox.release(jobs);
      else await outbox.postpone(jobs.map(job => ({ emailId: job.emailId, try: job.try, reason: 'not handled' })));
    } catch (error) {
      this.#owed = [...this.#owed, ...jobs];
      logger.debug({ err: error, jobs: jobs.length }, 'jobs not given back yet');
    }
  }

  async #renew(): Promise<void> {
    const { outbox, options, logger } = this.#dependencies;
    const jobs = this.#taken;
    if (jobs.length === 0) return;
    await outbox
      .renew(jobs, options.leaseTime)
      .catch(error => logger.warn({ err: error, jobs: jobs.length }, 'leases of jobs not renewed'));
  }
}

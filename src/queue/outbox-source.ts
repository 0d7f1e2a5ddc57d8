import { Bell, WakeUp } from '../flow/bell.ts';
import { CircuitBreaker } from '../flow/circuit-breaker.ts';
import type { OutboxJob } from '../message/send-job.ts';
import type { Logger } from '../observability/log.ts';
import type { JobOutcome, JobSink, JobSource } from './jobs.ts';
import type { QueueMetrics } from './telemetry.ts';

/** The outbox as its consumer needs it (`store/messages/outbox.ts`). */
export interface ConsumedOutbox {
  takeInTurn(limit: number, leaseMs: number, leftOut: readonly (string | null)[]): Promise<OutboxJob[]>;
  renew(jobs: readonly OutboxJob[], leaseMs: number): Promise<void>;
  release(jobs: readonly OutboxJob[]): Promise<void>;
  remove(jobs: readonly OutboxJob[]): Promise<void>;
  defer(jobs: readonly { emailId: string; try: number; afterMs: number }[]): Promise<void>;
  postpone(failures: readonly { emailId: string; try: number; reason: string }[]): Promise<void>;
}

export interface OutboxSourceOptions {
  /** Milliseconds between two looks where nothing wakes it. */
  readonly pollInterval: number;
  /** Milliseconds for which an entry is ours unless renewed. */
  readonly leaseTime: number;
}

export interface OutboxSourceDependencies {
  readonly options: OutboxSourceOptions;
  readonly outbox: ConsumedOutbox;
  /** Calls `wake` when there may be something new (`postgres/notifications.ts`), until it is stopped. */
  readonly listen: (wake: () => void) => { stop(): Promise<void> };
  readonly sink: JobSink;
  readonly logger: Logger;
  readonly metrics: QueueMetrics;
}

const MAX_TAKEN = 100;
const PAUSES = { firstPause: 250, longestPause: 5_000 };

/** A job that is to come again, and after how many milliseconds; null: after a pause that grows from time to time. */
interface Owed {
  readonly job: OutboxJob;
  readonly afterMs: number | null;
}

/** Takes jobs straight from the outbox, where there is no queue. */
export function createOutboxSource(dependencies: OutboxSourceDependencies): JobSource {
  return new OutboxSource(dependencies);
}

class OutboxSource implements JobSource {
  readonly #dependencies: OutboxSourceDependencies;
  readonly #breaker: CircuitBreaker;
  readonly #stopped = new AbortController();
  readonly #wakeUp = new WakeUp();
  /** What is taken and not done with. */
  readonly #held = new Set<OutboxJob>();
  readonly #emptied = new Bell();
  /** What is to be given back: more than a moment's worth while the database is away. */
  #owed: readonly Owed[] = [];
  #givingBack: Promise<void> = Promise.resolve();
  #isSoon = false;
  /** Those whom the last look has left out. */
  #leftOut: readonly (string | null)[] = [];
  #listener: { stop(): Promise<void> } | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #taking: Promise<void> = Promise.resolve();

  constructor(dependencies: OutboxSourceDependencies) {
    this.#dependencies = dependencies;
    this.#breaker = new CircuitBreaker({ ...PAUSES, logger: dependencies.logger, what: 'jobs cannot be taken' });
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
    while (this.#held.size > 0) await this.#emptied.heard(NEVER);
    await this.#giveBackOwed();
    clearInterval(this.#renewal);
  }

  async #takeForever(): Promise<void> {
    const { sink, options } = this.#dependencies;
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      await sink.whenRoom(signal);
      // What wakes us from here on is newer than what we are about to read.
      this.#wakeUp.reset();
      try {
        await this.#breaker.passed(signal);
        const found = await this.#take();
        this.#breaker.succeeded();
        if (found) continue;
      } catch (error) {
        if (signal.aborted) return;
        this.#breaker.failed(error);
        continue;
      }
      await this.#wakeUp.wait(options.pollInterval);
    }
  }

  /** @returns whether there may be more to take at once */
  async #take(): Promise<boolean> {
    const { outbox, options, metrics, sink } = this.#dependencies;
    await this.#giveBackOwed();
    const room = Math.min(sink.room, MAX_TAKEN);
    if (room <= 0) return !this.#stopped.signal.aborted;
    this.#leftOut = sink.sated;
    const jobs = await outbox.takeInTurn(room, options.leaseTime, this.#leftOut);
    if (jobs.length === 0) return false;
    metrics.received('job', jobs.length);
    if (this.#stopped.signal.aborted) this.#giveBackSoon(...jobs.map(job => ({ job, afterMs: null })));
    else this.#hand(jobs);
    return true;
  }

  #hand(jobs: readonly OutboxJob[]): void {
    for (const job of jobs) this.#held.add(job);
    const outcomes = this.#dependencies.sink.take(jobs);
    for (const [index, job] of jobs.entries()) void outcomes[index]?.then(outcome => this.#release(job, outcome));
  }

  /** Never rejects. */
  async #release(job: OutboxJob, outcome: JobOutcome): Promise<void> {
    // A job of our own whose message is gone is nobody else's either.
    const isOver = outcome === 'done' || outcome === 'foreign';
    this.#dependencies.metrics.handled(isOver ? 'done' : 'left', 1);
    const { sated } = this.#dependencies.sink;
    if (this.#leftOut.some(userId => !sated.includes(userId))) this.#wakeUp.wake();
    if (isOver) await this.#remove(job);
    else this.#giveBackSoon({ job, afterMs: outcome === 'left' ? null : outcome.againAfter });
    this.#held.delete(job);
    if (this.#held.size === 0) this.#emptied.ring();
  }

  /** Never rejects: a job that is not removed is taken again when its lease ends, and found to be done. */
  async #remove(job: OutboxJob): Promise<void> {
    const { outbox, logger } = this.#dependencies;
    await outbox.remove([job]).catch(error => logger.warn({ err: error, emailId: job.emailId }, 'job not removed yet'));
  }

  /** Together with what else is left at this moment. */
  #giveBackSoon(...owed: readonly Owed[]): void {
    this.#owed = [...this.#owed, ...owed];
    if (this.#isSoon) return;
    this.#isSoon = true;
    setImmediate(() => {
      this.#isSoon = false;
      void this.#giveBackOwed();
    });
  }

  /** Never rejects. */
  #giveBackOwed(): Promise<void> {
    this.#givingBack = this.#givingBack.then(() => this.#giveBack());
    return this.#givingBack;
  }

  /**
   * To others at once when this process ends. Never rejects: what cannot be given back stays owed until the next look, and at
   * the worst its lease ends.
   */
  async #giveBack(): Promise<void> {
    const owed = this.#owed;
    this.#owed = [];
    if (owed.length === 0) return;
    const { outbox, logger } = this.#dependencies;
    try {
      if (this.#stopped.signal.aborted) await outbox.release(owed.map(({ job }) => job));
      else await this.#leave(owed);
    } catch (error) {
      this.#owed = [...this.#owed, ...owed];
      logger.debug({ err: error, jobs: owed.length }, 'jobs not given back yet');
    }
  }

  async #leave(owed: readonly Owed[]): Promise<void> {
    const { outbox } = this.#dependencies;
    const left: { emailId: string; try: number; reason: string }[] = [];
    const timed: { emailId: string; try: number; afterMs: number }[] = [];
    for (const { job, afterMs } of owed) {
      const key = { emailId: job.emailId, try: job.try };
      if (afterMs === null) left.push({ ...key, reason: 'not handled' });
      else timed.push({ ...key, afterMs });
    }
    if (left.length > 0) await outbox.postpone(left);
    if (timed.length > 0) await outbox.defer(timed);
  }

  async #renew(): Promise<void> {
    const { outbox, options, logger } = this.#dependencies;
    const jobs = [...this.#held];
    if (jobs.length === 0) return;
    await outbox
      .renew(jobs, options.leaseTime)
      .catch(error => logger.warn({ err: error, jobs: jobs.length }, 'leases of jobs not renewed'));
  }
}

const NEVER = new AbortController().signal;

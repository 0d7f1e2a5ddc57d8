import { Bell } from '../../src/flow/bell.ts';
import { CircuitBreaker } from '../../src/flow/circuit-breaker.ts';
import type { SendJob } from '../../src/message/send-job.ts';
import type { Logger } from '../../src/observability/log.ts';
import type { JobOutcome, JobSink } from '../../src/queue/jobs.ts';

/**
 * Handles jobs that came together. Resolves when each is done for good or has its next try committed.
 *
 * @returns of each job, in the same order, what became of it. Where it rejects, all are left.
 */
export type HandleJobs = (jobs: readonly SendJob[]) => Promise<readonly JobOutcome[]>;

export interface BatchSinkOptions {
  readonly handle: HandleJobs;
  /** Jobs that are taken and not handled yet, at most. */
  readonly limit: number;
  readonly logger: Logger;
}

const PAUSES = { firstPause: 250, longestPause: 5_000 };
/** Small, since there is room for others only when all jobs of a batch are handled. */
const BATCH = 10;

/** Handles together what comes together. While nothing can be handled, it has room for a few jobs now and then. */
export class BatchSink implements JobSink {
  readonly sated: readonly (string | null)[] = [];
  readonly #options: BatchSinkOptions;
  readonly #breaker: CircuitBreaker;
  readonly #freed = new Bell();
  #taken = 0;
  /** How many may be tried though the last ones could not be handled. */
  #tries = 0;

  constructor(options: BatchSinkOptions) {
    this.#options = options;
    this.#breaker = new CircuitBreaker({ ...PAUSES, logger: options.logger, what: 'jobs cannot be handled' });
  }

  get room(): number {
    const left = Math.max(0, this.#options.limit - this.#taken);
    return this.#breaker.isOn ? Math.min(left, this.#tries) : left;
  }

  async whenRoom(signal: AbortSignal): Promise<void> {
    while (this.room === 0 && !signal.aborted) {
      if (!this.#breaker.isOn || this.#taken >= this.#options.limit) await this.#freed.heard(signal);
      else if (await this.#mayTry(signal)) this.#tries = BATCH;
    }
  }

  /** Never rejects. */
  #mayTry(signal: AbortSignal): Promise<boolean> {
    return this.#breaker.passed(signal).then(
      () => true,
      () => false,
    );
  }

  take(jobs: readonly SendJob[]): readonly Promise<JobOutcome>[] {
    this.#tries = Math.max(0, this.#tries - jobs.length);
    const outcomes: Promise<JobOutcome>[] = [];
    for (let start = 0; start < jobs.length; start += BATCH) {
      const batch = jobs.slice(start, start + BATCH);
      const handled = this.#handle(batch);
      outcomes.push(...batch.map((_, index) => handled.then(all => all[index] ?? 'left')));
    }
    return outcomes;
  }

  /** Never rejects. */
  async #handle(jobs: readonly SendJob[]): Promise<readonly JobOutcome[]> {
    this.#taken += jobs.length;
    try {
      const outcomes = await this.#options.handle(jobs);
      this.#breaker.succeeded();
      return outcomes;
    } catch (error) {
      this.#tries = 0;
      this.#breaker.failed(error);
      return jobs.map(() => 'left');
    } finally {
      this.#taken -= jobs.length;
      this.#freed.ring();
    }
  }
}

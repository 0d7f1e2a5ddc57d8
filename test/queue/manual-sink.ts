import { Bell } from '../../src/flow/bell.ts';
import type { SendJob } from '../../src/message/send-job.ts';
import type { JobOutcome, JobSink } from '../../src/queue/jobs.ts';

/** A sink that is done with a job when a test says so. */
export class ManualSink implements JobSink {
  sated: readonly (string | null)[] = [];
  /** Jobs as they came. */
  readonly taken: SendJob[] = [];
  /** The most that were in hand at a time. */
  most = 0;
  readonly #limit: number;
  readonly #open = new Map<string, (outcome: JobOutcome) => void>();
  readonly #freed = new Bell();
  #isClosed = false;

  constructor(limit = 100) {
    this.#limit = limit;
  }

  get room(): number {
    return Math.max(0, this.#limit - this.#open.size);
  }

  async whenRoom(signal: AbortSignal): Promise<void> {
    while (this.room === 0 && !signal.aborted) await this.#freed.heard(signal);
  }

  /** Leaves all that is in hand, and all that may come. */
  close(): void {
    this.#isClosed = true;
    this.end('left');
  }

  take(jobs: readonly SendJob[]): readonly Promise<JobOutcome>[] {
    if (this.#isClosed) return jobs.map(() => Promise.resolve('left'));
    const outcomes = jobs.map(job => {
      this.taken.push(job);
      return new Promise<JobOutcome>(resolve => this.#open.set(job.emailId, resolve));
    });
    this.most = Math.max(this.most, this.#open.size);
    return outcomes;
  }

  /** All that are in hand, if none is named. */
  end(outcome: JobOutcome, emailIds: Iterable<string> = [...this.#open.keys()]): void {
    for (const emailId of emailIds) {
      this.#open.get(emailId)?.(outcome);
      this.#open.delete(emailId);
    }
    this.#freed.ring();
  }
}

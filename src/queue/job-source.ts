/** A job that was taken from where jobs come from. */
export interface TakenJob {
  readonly emailId: string;
  /** Whose message it is, as the message group or the outbox says; null where they do not say. */
  readonly userId: string | null;
  readonly correlationId: string;
  /** W3C Trace Context. */
  readonly traceparent: string;
}

/**
 * What became of a job: it may be forgotten (`done`), it is to come again (`left`), or its message is not one of this
 * program's, and whoever it belongs to is to have it (`foreign`).
 */
export type JobOutcome = 'done' | 'left' | 'foreign';

/**
 * Handles jobs that came together. Resolves when each is done for good or has its next try committed.
 *
 * @returns of each job, in the same order, what became of it. Where it rejects, all are left.
 */
export type HandleJobs = (jobs: readonly TakenJob[]) => Promise<readonly JobOutcome[]>;

/** Where jobs come from. */
export interface JobSource {
  /** Begins to take jobs. */
  start(): void;
  /** Takes no more; resolves when what was taken has been handled or given back. */
  stop(): Promise<void>;
}

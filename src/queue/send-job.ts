/** The job that asks a worker to send one stored message (pipeline contract, "The send job"). */
export interface SendJob {
  readonly emailId: string;
  readonly userId: string | null;
  /** 0 for the first; retries of a send count up. */
  readonly try: number;
  readonly correlationId: string;
  /** W3C Trace Context. */
  readonly traceparent: string;
  readonly requestedAt: Date;
}

/** SQS takes at most ten messages a call (API reference, SendMessageBatch). */
export const MAX_BATCH = 10;

/** A job that SQS has not taken, though its answer is a success as a whole. */
export interface RefusedJob {
  readonly job: SendJob;
  readonly reason: string;
}

/** Where send jobs are published. */
export interface JobQueue {
  /**
   * Publishes up to `MAX_BATCH` jobs. Rejects where the call failed as a whole: then any of them may have been published.
   *
   * @param timeLimit milliseconds after which the call is given up
   * @returns the jobs that were refused one by one
   */
  send(jobs: readonly SendJob[], timeLimit: number): Promise<readonly RefusedJob[]>;
  /** How many jobs wait in the queue for somebody to take them; null where SQS does not say. Absent: nobody knows. */
  depth?(): Promise<number | null>;
  close(): void;
}

import type { OutboxJob, SendJob } from '../message/send-job.ts';
/** SQS takes at most ten messages a call (API reference, SendMessageBatch). */
export const MAX_BATCH = 10;

/** A job that SQS has not taken, though its answer is a success as a whole. */
export interface RefusedJob {
  readonly job: OutboxJob;
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
  send(jobs: readonly OutboxJob[], timeLimit: number): Promise<readonly RefusedJob[]>;
  /** How many jobs wait in the queue for somebody to take them; null where SQS does not say. Absent: nobody knows. */
  depth?(): Promise<number | null>;
  close(): void;
}

/** A job is to come again, and not before so many milliseconds have passed. */
export interface ComesAgain {
  readonly againAfter: number;
}

/**
 * What became of a job: it may be forgotten (`done`), it is to come again (`left`), or its message is not one of this
 * program's, and whoever it belongs to is to have it (`foreign`).
 */
export type JobOutcome = 'done' | 'left' | 'foreign' | ComesAgain;

/** The outcome in one word. */
export function outcomeName(outcome: JobOutcome): 'done' | 'left' | 'foreign' {
  return typeof outcome === 'string' ? outcome : 'left';
}

/** Whoever handles jobs, as those see it who bring them. */
export interface JobSink {
  /** How many more jobs it takes just now; a source does not bring more, but for what was on its way. */
  readonly room: number;
  /** Resolves when there may be room, at once where there is. Resolves, too, when the signal comes. */
  whenRoom(signal: AbortSignal): Promise<void>;
  /**
   * Owners of whom it wants no more just now: as many as may wait do, or all their ways out are shut. A source that can leaves
   * their jobs where they are. An owner stays one of them until there is room for a good part of what he may have: otherwise
   * he would be looked for after each of his messages.
   */
  readonly sated: readonly (string | null)[];
  /**
   * Takes jobs. Each promise resolves by itself, when that job is done for good, has its next try committed, or is to come
   * again. None rejects.
   *
   * @returns of each job, in the same order, what becomes of it
   */
  take(jobs: readonly SendJob[]): readonly Promise<JobOutcome>[];
}

/** Where jobs come from. */
export interface JobSource {
  /** Begins to take jobs. */
  start(): void;
  /** Takes no more; resolves when what was taken has been handled or given back. */
  stop(): Promise<void>;
}

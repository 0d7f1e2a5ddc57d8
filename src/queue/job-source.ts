/** A job that was taken from where jobs come from. */
export interface TakenJob {
  readonly emailId: string;
  /** Whose message it is, as the message group or the outbox says; null where they do not say. */
  readonly userId: string | null;
  readonly correlationId: string;
  /** W3C Trace Context. */
  readonly traceparent: string;
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
  take(jobs: readonly TakenJob[]): readonly Promise<JobOutcome>[];
}

/** Where jobs come from. */
export interface JobSource {
  /** Begins to take jobs. */
  start(): void;
  /** Takes no more; resolves when what was taken has been handled or given back. */
  stop(): Promise<void>;
}

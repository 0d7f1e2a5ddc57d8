/** The job that asks a worker to send one stored message (pipeline contract, "The send job"), as it is handed from one to the next. */
export interface SendJob {
  readonly emailId: string;
  /** Whose message it is; null where that is not said, as in a queue whose message groups do not say. */
  readonly userId: string | null;
  readonly correlationId: string;
  /** W3C Trace Context. */
  readonly traceparent: string;
}

/** The same as the outbox has it: `emailId` and `try` name its entry. */
export interface OutboxJob extends SendJob {
  /** 0 for the first; retries of a send count up. */
  readonly try: number;
  readonly requestedAt: Date;
}

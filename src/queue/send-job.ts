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

export const SEND_JOB_TYPE = 'email.send';
const SOURCE = 'api';

/** `email.send:<emailId>`, the name that body and attribute carry. */
export function sendJobId(job: SendJob): string {
  return `${SEND_JOB_TYPE}:${job.emailId}`;
}

/** The message body, JSON. */
export function sendJobBody(job: SendJob): string {
  return JSON.stringify({
    id: sendJobId(job),
    type: SEND_JOB_TYPE,
    source: SOURCE,
    emailId: job.emailId,
    requestedAt: job.requestedAt.toISOString(),
    trace: { traceparent: job.traceparent, correlationId: job.correlationId },
  });
}

/** The same facts as message attributes, all of type String. */
export function sendJobAttributes(job: SendJob): Readonly<Record<string, string>> {
  return {
    jobId: sendJobId(job),
    jobType: SEND_JOB_TYPE,
    source: SOURCE,
    correlationId: job.correlationId,
    traceparent: job.traceparent,
  };
}

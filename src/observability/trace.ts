import { randomBytes } from 'node:crypto';

/** What ties a message's log lines, job and later events together. */
export interface TraceContext {
  /** 32 hex digits; the trace id. */
  readonly correlationId: string;
  /** W3C Trace Context `traceparent` of version 00. */
  readonly traceparent: string;
}

const TRACE_ID_BYTES = 16;
const TRACE_BYTES = 24;

/** Starts a trace that is not sampled (W3C Trace Context, section 3.2.2). */
export function newTrace(): TraceContext {
  const hex = randomBytes(TRACE_BYTES).toString('hex');
  const correlationId = hex.slice(0, TRACE_ID_BYTES * 2);
  return { correlationId, traceparent: `00-${correlationId}-${hex.slice(TRACE_ID_BYTES * 2)}-00` };
}

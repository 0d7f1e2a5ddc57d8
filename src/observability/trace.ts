import { randomUUID } from 'node:crypto';

/** What ties a message's log lines, job and later events together. */
export interface TraceContext {
  /** 32 hex digits; the trace id. */
  readonly correlationId: string;
  /** W3C Trace Context `traceparent` of version 00. */
  readonly traceparent: string;
}

const SPAN_ID_DIGITS = 16;

/** Starts a trace that is not sampled (W3C Trace Context, section 3.2.2). */
export function newTrace(): TraceContext {
  const correlationId = randomHex();
  // The last digits of a UUID are random; the first of its second half are not.
  return { correlationId, traceparent: `00-${correlationId}-${randomHex().slice(-SPAN_ID_DIGITS)}-00` };
}

/** 32 hex digits. Node keeps a store of random bytes for UUIDs, which makes them cheaper than bytes one asks for. */
function randomHex(): string {
  return randomUUID().replaceAll('-', '');
}

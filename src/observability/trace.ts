import { randomUUID } from 'node:crypto';

/** What ties a message's log lines, job and later events together. */
export interface TraceContext {
  /** 32 hex digits; the trace id. */
  readonly correlationId: string;
  /** W3C Trace Context `traceparent` of version 00. */
  readonly traceparent: string;
}

const SPAN_ID_DIGITS = 16;
/** Where the trace id, the span id and the flags begin in a `traceparent`. */
const TRACE_ID = 3;
const SPAN_ID = 36;
const FLAGS = 53;
const LENGTH = 55;

/** Starts a trace that is not sampled (W3C Trace Context, section 3.2.2). */
export function newTrace(): TraceContext {
  const correlationId = randomHex();
  // The last digits of a UUID are random; the first of its second half are not.
  return traceContext(correlationId, randomHex().slice(-SPAN_ID_DIGITS), false);
}

/** @param traceId 32 hex digits. @param spanId 16 hex digits */
export function traceContext(traceId: string, spanId: string, sampled: boolean): TraceContext {
  return { correlationId: traceId, traceparent: `00-${traceId}-${spanId}-${sampled ? '01' : '00'}` };
}

/** The context that a `traceparent` names; null where it is none of version 00 (section 3.2.2). */
export function readTraceparent(text: string): (TraceContext & { spanId: string; sampled: boolean }) | null {
  if (text.length !== LENGTH || !/^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(text)) return null;
  const correlationId = text.slice(TRACE_ID, SPAN_ID - 1);
  const spanId = text.slice(SPAN_ID, FLAGS - 1);
  return { correlationId, spanId, sampled: isSampled({ traceparent: text }), traceparent: text };
}

/** Whether whoever began the trace records it (section 3.2.2.5, the flag `sampled`). */
export function isSampled({ traceparent }: Pick<TraceContext, 'traceparent'>): boolean {
  return (Number.parseInt(traceparent.slice(FLAGS), 16) & 1) === 1;
}

/** 32 hex digits. Node keeps a store of random bytes for UUIDs, which makes them cheaper than bytes one asks for. */
function randomHex(): string {
  return randomUUID().replaceAll('-', '');
}

import { randomUUID } from 'node:crypto';

export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** What is done in the time of a span, as OpenTelemetry sorts it. */
export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

export interface SpanOptions {
  readonly kind?: SpanKind;
  /** What it is part of: a span of this process, or the `traceparent` of one elsewhere. Left out, it begins a trace. */
  readonly parent?: Span | string | null;
  /** The `traceparent`s of spans that are related to it but not its parents. */
  readonly links?: readonly string[];
  /** Must hold nothing of a message's content, and no key; `test/observability/tracing.test.ts` looks. */
  readonly attributes?: Attributes;
  /** When it began, in milliseconds since 1970; now unless given. */
  readonly startTime?: number;
}

/** A step of the way of a message. */
export interface Span {
  /** To hand on to whoever does the next step. */
  readonly context: TraceContext;
  /** Whether anybody will see it. */
  readonly isRecording: boolean;
  set(attributes: Attributes): void;
  /** It went wrong. Only the error's class or code is kept: its text may tell of the message. */
  fail(error: unknown): void;
  /** To be called once. @param endTime in milliseconds since 1970; now unless given */
  end(endTime?: number): void;
}

/** Begins spans. The only way from the rooms to OpenTelemetry (`opentelemetry.ts`). */
export interface Tracer {
  /** False where no span is ever recorded. */
  readonly isOn: boolean;
  start(name: string, options?: SpanOptions): Span;
}

/** The tracer of a process that does not trace. It hands on the contexts that it is given, and begins new ones. */
export const NO_TRACING: Tracer = {
  isOn: false,
  start: (_, { parent } = {}) => new SilentSpan(contextOf(parent)),
};

/** A span that nobody sees. */
export class SilentSpan implements Span {
  readonly context: TraceContext;
  readonly isRecording = false;

  constructor(context: TraceContext) {
    this.context = context;
  }

  set(): void {}
  fail(): void {}
  end(): void {}
}

/** Does work in the time of a span. */
export async function within<T>(span: Span, work: (span: Span) => Promise<T>): Promise<T> {
  try {
    return await work(span);
  } catch (error) {
    span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}

/** `ECONNRESET`, `23505`, `TimeoutError`: what can be looked up, and tells nothing else. */
export function errorType(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' || typeof code === 'number' ? String(code) : error.name;
}

function contextOf(parent: Span | string | null | undefined): TraceContext {
  if (typeof parent === 'string') return readTraceparent(parent) ?? newTrace();
  return parent?.context ?? newTrace();
}

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

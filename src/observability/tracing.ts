import { newTrace, readTraceparent, type TraceContext } from './trace.ts';

export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** What is done in the time of a span, as OpenTelemetry sorts it. */
export type SpanKind = 'internal' | 'server' | 'client' | 'producer' | 'consumer';

export interface SpanOptions {
  readonly kind?: SpanKind;
  /** What it is part of: a span of this process, or the `traceparent` of one elsewhere. Left out, it begins a trace. */
  readonly parent?: Span | string | null;
  /** The `traceparent`s of spans that it has to do with, but is no part of. */
  readonly links?: readonly string[];
  /** Nothing of what a message says and nobody's key belongs here; `test/observability/tracing.test.ts` looks. */
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

/** The tracer of a process that is not to trace: it hands on the contexts that it is given, and makes those that begin. */
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

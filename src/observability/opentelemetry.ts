import {
  type Context,
  type ContextManager,
  DiagLogLevel,
  diag,
  type Link,
  type Span as OtelSpan,
  type Tracer as OtelTracer,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { Logger } from './log.ts';
import {
  type Attributes,
  errorType,
  readTraceparent,
  SilentSpan,
  type Span,
  type SpanOptions,
  type TraceContext,
  type Tracer,
  traceContext,
} from './tracing.ts';

export interface OpenTelemetryOptions {
  /** Unless the environment names the service. */
  readonly serviceName: string | null;
  readonly version: string;
  readonly logger: Logger;
}

const KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

/** Spans are told their parents, so nothing has to follow every promise of the process. */
const NO_CONTEXTS: ContextManager = {
  active: () => ROOT_CONTEXT,
  with: (_context, fn, thisArg, ...args) => fn.call(thisArg as never, ...args),
  bind: (_context, target) => target,
  enable: () => NO_CONTEXTS,
  disable: () => NO_CONTEXTS,
};

/** Milliseconds in which problems of exporting are told of once. */
const COMPLAINT_INTERVAL = 60_000;
const MAX_COMPLAINT = 300;

/**
 * Starts the SDK, which takes everything from the `OTEL_*` variables: exporter, sampler, limits, resource. Nothing is
 * instrumented by it, and it exports no metrics and logs: those have ways of their own. To be called once in a process.
 */
export function startOpenTelemetry({ serviceName, version, logger }: OpenTelemetryOptions): {
  readonly tracer: Tracer;
  stop(): Promise<void>;
} {
  const sdk = new NodeSDK({
    ...(serviceName !== null && { serviceName }),
    contextManager: NO_CONTEXTS,
    textMapPropagator: null,
    instrumentations: [],
    metricReaders: [],
    logRecordProcessors: [],
  });
  listenToComplaints(logger);
  sdk.start();
  const tracer = trace.getTracer('smtp-relay', version);
  return {
    tracer: { isOn: true, start: (name, options) => start(tracer, name, options) },
    async stop() {
      await sdk.shutdown();
      trace.disable();
    },
  };
}

/** Logs problems of the SDK, such as an export that fails every few seconds while the collector is away. */
function listenToComplaints(logger: Logger): void {
  let next = Number.NEGATIVE_INFINITY;
  const complain = (message: string) => {
    if (performance.now() < next) return;
    next = performance.now() + COMPLAINT_INTERVAL;
    logger.warn({ reason: message.slice(0, MAX_COMPLAINT) }, 'tracing has a problem');
  };
  const ignore = () => {};
  const listener = { error: complain, warn: complain, info: ignore, debug: ignore, verbose: ignore };
  diag.setLogger(listener, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
}

function start(tracer: OtelTracer, name: string, options: SpanOptions = {}): Span {
  const { kind = 'internal', parent = null, links, attributes, startTime } = options;
  // Parts of a span that is not recorded are not recorded either, by every sampler that there is.
  if (parent !== null && typeof parent !== 'string' && !parent.isRecording) return new SilentSpan(parent.context);
  const span = tracer.startSpan(
    name,
    {
      kind: KINDS[kind],
      root: parent === null,
      ...(attributes && { attributes }),
      ...(links && { links: links.flatMap(linkTo) }),
      ...(startTime !== undefined && { startTime }),
    },
    parent === null ? ROOT_CONTEXT : contextOf(parent),
  );
  return span.isRecording() ? new RecordedSpan(span) : new SilentSpan(contextIn(span));
}

function contextOf(parent: Span | string): Context {
  if (parent instanceof RecordedSpan) return parent.asParent;
  const read = readTraceparent(typeof parent === 'string' ? parent : parent.context.traceparent);
  if (read === null) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, remote(read));
}

function linkTo(traceparent: string): Link[] {
  const read = readTraceparent(traceparent);
  return read === null ? [] : [{ context: remote(read) }];
}

function remote(context: NonNullable<ReturnType<typeof readTraceparent>>) {
  const traceFlags = context.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE;
  return { traceId: context.correlationId, spanId: context.spanId, traceFlags, isRemote: true };
}

function contextIn(span: OtelSpan): TraceContext {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return traceContext(traceId, spanId, (traceFlags & TraceFlags.SAMPLED) !== 0);
}

class RecordedSpan implements Span {
  readonly span: OtelSpan;
  readonly context: TraceContext;
  readonly isRecording = true;
  #asParent: Context | undefined;

  constructor(span: OtelSpan) {
    this.span = span;
    this.context = contextIn(span);
  }

  /** Made once, as a message has many steps. */
  get asParent(): Context {
    this.#asParent ??= trace.setSpan(ROOT_CONTEXT, this.span);
    return this.#asParent;
  }

  set(attributes: Attributes): void {
    this.span.setAttributes(attributes);
  }

  fail(error: unknown): void {
    const type = typeof error === 'string' ? error : errorType(error);
    this.span.setAttribute('error.type', type);
    this.span.setStatus({ code: SpanStatusCode.ERROR });
  }

  end(endTime?: number): void {
    this.span.end(endTime);
  }
}

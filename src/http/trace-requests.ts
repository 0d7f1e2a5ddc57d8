import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Span, Tracer } from '../observability/tracing.ts';

/**
 * Gives each request a span of its own (OpenTelemetry, semantic conventions for HTTP). `url.path` and `url.query` are left
 * out, since they are what names a recipient; and so is the trace that a stranger says it belongs to.
 */
export function traceRequests(server: FastifyInstance, tracer: Tracer): void {
  if (!tracer.isOn) return;
  const spans = new WeakMap<FastifyRequest, Span>();
  server.addHook('onRequest', async request => {
    const route = request.routeOptions.url;
    const span = tracer.start(route ? `${request.method} ${route}` : request.method, { kind: 'server' });
    if (!span.isRecording) return;
    span.set({
      'http.request.method': request.method,
      'url.scheme': 'http',
      'network.protocol.version': request.raw.httpVersion,
      ...(route && { 'http.route': route }),
    });
    spans.set(request, span);
  });
  server.addHook('onResponse', async (request, reply) => {
    const span = spans.get(request);
    if (!span) return;
    span.set({ 'http.response.status_code': reply.statusCode });
    if (reply.statusCode >= 500) span.fail(String(reply.statusCode));
    span.end();
  });
}

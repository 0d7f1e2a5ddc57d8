import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from '../../support/relay.ts';

/** A span as OTLP's JSON has it (opentelemetry-proto, `trace.proto`), with its attributes as an object. */
export interface ExportedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  /** `service.name` of its resource. */
  readonly service: unknown;
}

export interface Collector {
  readonly endpoint: string;
  /** All that was exported as JSON. */
  readonly spans: ExportedSpan[];
  /** The bodies as they came. */
  readonly bodies: { readonly type: string; readonly body: Buffer }[];
}

interface KeyValue {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

interface ExportRequest {
  readonly resourceSpans: readonly {
    readonly resource?: { readonly attributes?: readonly KeyValue[] };
    readonly scopeSpans: readonly {
      readonly spans: readonly (Omit<ExportedSpan, 'attributes' | 'service'> & {
        readonly attributes?: readonly KeyValue[];
      })[];
    }[];
  }[];
}

/** An OTLP receiver over HTTP, closed after the test. */
export async function startCollector(t: TestContext): Promise<Collector> {
  const spans: ExportedSpan[] = [];
  const bodies: Collector['bodies'] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const type = request.headers['content-type'] ?? '';
    bodies.push({ type, body });
    if (type === 'application/json' && request.url === '/v1/traces') spans.push(...spansIn(JSON.parse(String(body))));
    response.writeHead(200, { 'content-type': type }).end(type === 'application/json' ? '{}' : '');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, bodies };
}

function spansIn({ resourceSpans }: ExportRequest): ExportedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = objectOf(resource?.attributes)['service.name'];
    return scopeSpans.flatMap(({ spans }) =>
      spans.map(span => ({ ...span, attributes: objectOf(span.attributes), service })),
    );
  });
}

function objectOf(attributes: readonly KeyValue[] = []): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

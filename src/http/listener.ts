import { STATUS_CODES } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import type { Logger } from '../observability/log.ts';
import type { HttpMetrics } from './metrics.ts';

/** Bounds on what a client may ask of a listener. Times in milliseconds. */
export interface ListenerLimits {
  readonly connections: number;
  /** The longest request target, in characters. */
  readonly urlLength: number;
  /** The most bytes of request line and header together. */
  readonly headerBytes: number;
  readonly bodyBytes: number;
  /** From the first byte of a request to the end of its header. */
  readonly headersTimeout: number;
  /** From the first byte of a request to its last. */
  readonly requestTimeout: number;
  /** Between two requests on one connection. */
  readonly keepAliveTimeout: number;
}

export interface ListenerOptions {
  readonly name: keyof typeof ADVICE;
  readonly host: string;
  /** `0` takes any free port. */
  readonly port: number;
  readonly limits: ListenerLimits;
  readonly logger: Logger;
  readonly metrics: HttpMetrics;
}

/** An HTTP listener that is opened once and closed once. */
export interface Listener {
  readonly server: FastifyInstance;
  /** Listens. @returns the port. @throws Error that names the variable to set, where the address cannot be had */
  open(): Promise<number>;
  /** Takes nothing new and finishes what is under way, for at most `milliseconds`. Also where it was never opened. */
  close(milliseconds?: number): Promise<void>;
}

export interface Route {
  readonly url: string;
  readonly methods: readonly ('GET' | 'HEAD' | 'POST')[];
  handle(request: FastifyRequest, reply: FastifyReply): unknown;
}

const CLOSE_TIME = 2_000;
/** How often Node looks for connections that are too slow; they have this much more time than their limit. */
const CHECK_INTERVAL = 1_000;
/** What to do where a listener's port is taken. */
const ADVICE = {
  operational: 'set SMTP_RELAY_HTTP_PORT to another port, or to 0 for no such listener',
  public: 'set SMTP_RELAY_PUBLIC_PORT to another port, or to 0 for no such listener',
  inbox: 'set SMTP_RELAY_INBOX_PORT to another port, or SMTP_RELAY_INBOX_ENABLED to false',
} as const;

/** Fastify with our limits, and answers that never say more than the name of their status. */
export function createListener(options: ListenerOptions): Listener {
  const { limits, logger } = options;
  const server = fastify({
    bodyLimit: limits.bodyBytes,
    connectionTimeout: limits.requestTimeout,
    requestTimeout: limits.requestTimeout,
    keepAliveTimeout: limits.keepAliveTimeout,
    routerOptions: { maxParamLength: limits.urlLength },
    exposeHeadRoutes: false,
    // What a schema does not know is refused rather than dropped.
    ajv: { customOptions: { removeAdditional: false } },
    http: {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersTimeout,
      requestTimeout: limits.requestTimeout,
      connectionsCheckingInterval: Math.min(CHECK_INTERVAL, limits.headersTimeout),
    },
    // Targets that no route can match, because their percent-encoding is broken.
    frameworkErrors: (_error, _request, reply) => void answer(reply as FastifyReply, 404),
  });
  server.server.maxConnections = limits.connections;
  server.removeAllContentTypeParsers();
  server.setNotFoundHandler((_request, reply) => answer(reply, 404));
  server.setErrorHandler((error, request, reply) => {
    const status = clientStatus(error);
    if (status === null) logger.error({ err: error, route: routeOf(request) }, 'request failed');
    return answer(reply, status ?? 500);
  });
  server.addHook('onRequest', async (request, reply) => {
    if (request.url.length > limits.urlLength) await answer(reply, 414);
  });
  server.addHook('onResponse', async (request, reply) => {
    const milliseconds = reply.elapsedTime;
    options.metrics.observe({
      listener: options.name,
      route: routeOf(request),
      status: reply.statusCode,
      milliseconds,
    });
  });
  return { server, open: () => open(server, options), close: milliseconds => close(server, milliseconds) };
}

/** Adds a route that answers 405 to all methods but its own. */
export function addRoute(server: FastifyInstance, { url, methods, handle }: Route): void {
  server.route({ url, method: [...methods], handler: (request, reply) => handle(request, reply) });
  const others = server.supportedMethods.filter(method => !(methods as readonly string[]).includes(method));
  const refuse = (reply: FastifyReply) => answer(reply.header('allow', methods.join(', ')), 405);
  // Before the body is read: it is of no interest, whatever it is.
  server.route({
    url,
    method: others,
    onRequest: async (_, reply) => refuse(reply),
    handler: (_, reply) => refuse(reply),
  });
}

/** Sends a status and its name. */
export function answer(reply: FastifyReply, status: number): FastifyReply {
  return reply
    .code(status)
    .header('cache-control', 'no-store')
    .header('x-content-type-options', 'nosniff')
    .type('text/plain; charset=utf-8')
    .send(`${STATUS_CODES[status] ?? status}\n`);
}

async function open(server: FastifyInstance, { name, host, port, logger }: ListenerOptions): Promise<number> {
  try {
    await server.listen({ host, port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = code === 'EADDRINUSE' ? 'the port is taken' : (code ?? String(error));
    const what = `the ${name} listener cannot listen on ${host}:${port}: ${reason}`;
    throw new Error(`${what}; ${ADVICE[name]}`, { cause: error });
  }
  server.server.on('error', error => logger.warn({ err: error, listener: name }, 'listener error'));
  return (server.server.address() as { port: number }).port;
}

async function close(server: FastifyInstance, milliseconds = CLOSE_TIME): Promise<void> {
  const closed = new AbortController();
  const cutOff = sleep(milliseconds, undefined, { signal: closed.signal }).then(
    () => server.server.closeAllConnections(),
    () => undefined,
  );
  await server.close();
  closed.abort();
  await cutOff;
}

function routeOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? 'none';
}

/** The status of what the client did wrong; null for a fault of ours. */
function clientStatus(error: unknown): number | null {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  return status >= 400 && status < 500 ? status : null;
}

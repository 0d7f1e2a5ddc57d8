import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { perGeneration } from '../config/live.ts';
import type { Context } from '../context.ts';
import { createSnsReceiver, type SnsReceiverDependencies } from '../events/sns/receiver.ts';
import type { Logger } from '../observability/log.ts';
import type { Span, Tracer } from '../observability/tracing.ts';
import { listEndedLinks } from '../store/events/ended-links.ts';
import { createEnded } from '../tracking/ended.ts';
import { createHitRecorder, createHits, type Hit } from '../tracking/hits.ts';
import { createTokens, hostOf } from '../tracking/token.ts';
import { addRoute, answer, createListener, type Listener, type ListenerLimits } from './listener.ts';
import type { HttpMetrics } from './metrics.ts';
import { addTrackingRoutes, type TrackingRoutesOptions } from './tracking-routes.ts';

export interface PublicParts extends Context {
  /** Takes what SNS brings. */
  readonly intake: Pick<SnsReceiverDependencies, 'intake' | 'metrics' | 'logger'>;
  /** Whether the database is known to be one to write to. */
  readonly isPrepared: () => boolean;
  /** Webhook deliveries have become due. */
  readonly onDeliveriesDue: () => void;
  readonly metrics: HttpMetrics;
}

/** null where the configuration asks for no such listener. */
export function createPublic(parts: PublicParts): Pick<Listener, 'open' | 'close'> | null {
  const { live, registry, metrics, tracer } = parts;
  const { publicHost: host, publicPort: port } = live.current;
  if (port === 0) return null;
  const logger = parts.logger.child({ room: 'http' });
  const tokens = perGeneration(live, ({ tracking: { secrets, baseUrl } }) =>
    createTokens(secrets, { defaultHost: hostOf(baseUrl) }),
  );
  const read = async () => (parts.isPrepared() ? listEndedLinks(parts.pool) : []);
  const ended = createEnded({ read, logger });
  const hitsPerHour = () => live.current.tracking.hitsPerHour;
  const hits = createHits({ record: createRecord(parts), hitsPerHour, registry, logger });
  const tracking = { tokens, hits, ended };
  const sns = createNotificationReceiver(parts);
  const listener = createPublicListener({ host, port, tracking, sns, logger, metrics, tracer });
  return {
    open: () => {
      ended.start();
      return listener.open();
    },
    close: async milliseconds => {
      await listener.close(milliseconds);
      await ended.stop();
      await hits.stop(milliseconds);
    },
  };
}

/** Rejects, so that hits are kept, while nobody knows whose database it is. */
function createRecord({ pool, isPrepared, onDeliveriesDue }: PublicParts): (hits: readonly Hit[]) => Promise<void> {
  const record = createHitRecorder({ pool, onRecorded: ({ deliveriesDue }) => deliveriesDue && onDeliveriesDue() });
  return async hits => {
    if (!isPrepared()) throw new Error('the database is not prepared yet');
    await record(hits);
  };
}

/** Without topics nothing is there that could be asked. */
function createNotificationReceiver({ live, intake, isPrepared }: PublicParts): NotificationReceiver {
  const topics = () => live.current.events.snsTopics;
  const receiver = createSnsReceiver({ topics, ...intake });
  return {
    receive: async (body, headers) => {
      if (topics().length === 0) return { status: 404, reason: 'no topic is allowed' };
      return isPrepared() ? receiver.receive(body, headers) : { status: 503, reason: 'unavailable' };
    },
  };
}

/** Takes a notification of SNS (`events/sns/receiver.ts`). */
export interface NotificationReceiver {
  /** @param body as it came. @returns the status of the answer, and for the log why it is that. Rejects to be asked again */
  receive(body: string, headers: IncomingHttpHeaders): Promise<{ readonly status: number; readonly reason?: string }>;
}

export interface PublicListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly tracking: TrackingRoutesOptions;
  /** null where no topic is allowed: the path is then unknown. */
  readonly sns: NotificationReceiver | null;
  readonly logger: Logger;
  readonly metrics: HttpMetrics;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  /** Others than the usual ones. */
  readonly limits?: Partial<ListenerLimits>;
}

const SNS_PATH = '/events/sns';

const LIMITS: ListenerLimits = {
  connections: 4_000,
  // A tracking link of a URL of 8 KiB has about 11,000 characters.
  urlLength: 16_384,
  headerBytes: 32_768,
  // SNS takes messages of 256 KiB; as text within JSON, one can be twice as long.
  bodyBytes: 524_288,
  headersTimeout: 10_000,
  requestTimeout: 15_000,
  // Longer than load balancers keep idle connections (60 s), so that they never use one that is just being closed.
  keepAliveTimeout: 65_000,
};

/**
 * The listener for the world: opens, clicks, and notifications of SES by SNS. It stands behind a proxy that does TLS, and
 * keeps nothing of who asks but the user agent.
 */
export function createPublicListener(options: PublicListenerOptions): Listener {
  const { host, port, logger, metrics, sns, tracer } = options;
  const limits = { ...LIMITS, ...options.limits };
  const listener = createListener({ name: 'public', host, port, limits, logger, metrics });
  // Before the routes, which the hooks are for.
  if (tracer) traceRequests(listener.server, tracer);
  addTrackingRoutes(listener.server, options.tracking);
  if (sns) addSnsRoute(listener, sns, logger);
  return listener;
}

/** SNS says `text/plain` of its JSON. The signature is in the JSON, so the bytes are handed on unread. */
function addSnsRoute({ server }: Listener, sns: NotificationReceiver, logger: Logger): void {
  server.addContentTypeParser(['text/plain', 'application/json'], { parseAs: 'string' }, (_request, body, done) =>
    done(null, body),
  );
  addRoute(server, {
    url: SNS_PATH,
    methods: ['POST'],
    handle: async (request, reply) => {
      if (typeof request.body !== 'string') return answer(reply, 415);
      const { status, reason } = await sns.receive(request.body, request.headers);
      if (status >= 400) logger.warn({ status, reason }, 'notification of SNS refused');
      return answer(reply, status);
    },
  });
}

/**
 * Gives each request a span of its own (OpenTelemetry, semantic conventions for HTTP). `url.path` and `url.query` are left
 * out, since they are what names a recipient; and so is the trace that a stranger says it belongs to.
 */
function traceRequests(server: FastifyInstance, tracer: Tracer): void {
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

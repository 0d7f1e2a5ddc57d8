import type { IncomingHttpHeaders } from 'node:http';
import type { Logger } from '../observability/log.ts';
import type { Tracer } from '../observability/tracing.ts';
import { addRoute, answer, createListener, type Listener, type ListenerLimits } from './listener.ts';
import type { HttpMetrics } from './metrics.ts';
import { traceRequests } from './trace-requests.ts';
import { addTrackingRoutes, type TrackingRoutesOptions } from './tracking-routes.ts';

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

export const SNS_PATH = '/events/sns';

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

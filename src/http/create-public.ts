import type pg from 'pg';
import { type LiveConfig, perGeneration } from '../config/live.ts';
import { createSnsReceiver, type SnsReceiverDependencies } from '../events/sns/receiver.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import type { Tracer } from '../observability/tracing.ts';
import { createHits } from '../tracking/hits.ts';
import { createHitRecorder } from '../tracking/record-hits.ts';
import { createTokens } from '../tracking/token.ts';
import type { Listener } from './listener.ts';
import type { HttpMetrics } from './metrics.ts';
import { createPublicListener, type NotificationReceiver } from './public.ts';

export interface PublicParts {
  readonly live: LiveConfig;
  readonly pool: pg.Pool;
  /** Takes what SNS brings. */
  readonly intake: Pick<SnsReceiverDependencies, 'intake' | 'metrics' | 'logger'>;
  /** Webhook deliveries have become due. */
  readonly onDeliveriesDue: () => void;
  readonly registry: Registry;
  readonly metrics: HttpMetrics;
  readonly tracer: Tracer;
  readonly logger: Logger;
}

/** null where the configuration asks for no such listener. */
export function createPublic(parts: PublicParts): Pick<Listener, 'open' | 'close'> | null {
  const { live, pool, onDeliveriesDue, registry, metrics, tracer } = parts;
  const { publicHost: host, publicPort: port } = live.current;
  if (port === 0) return null;
  const logger = parts.logger.child({ room: 'http' });
  const tokens = perGeneration(live, ({ tracking }) => createTokens(tracking.secrets));
  const record = createHitRecorder({ pool, onRecorded: ({ deliveriesDue }) => deliveriesDue && onDeliveriesDue() });
  const hits = createHits({ record, registry, logger });
  const tracking = { tokens, hits };
  const sns = createNotificationReceiver(parts);
  const listener = createPublicListener({ host, port, tracking, sns, logger, metrics, tracer });
  return {
    open: () => listener.open(),
    close: async milliseconds => {
      await listener.close(milliseconds);
      await hits.stop(milliseconds);
    },
  };
}

/** Without topics nothing is there that could be asked. */
function createNotificationReceiver({ live, intake }: PublicParts): NotificationReceiver {
  const topics = () => live.current.events.snsTopics;
  const receiver = createSnsReceiver({ topics, ...intake });
  return {
    receive: async (body, headers) =>
      topics().length === 0 ? { status: 404, reason: 'no topic is allowed' } : receiver.receive(body, headers),
  };
}

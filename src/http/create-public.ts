import type pg from 'pg';
import { type LiveConfig, perGeneration } from '../config/live.ts';
import { createSnsReceiver, type SnsReceiverDependencies } from '../events/sns/receiver.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import type { Tracer } from '../observability/tracing.ts';
import { listEndedLinks } from '../store/events/ended-links.ts';
import { createEnded } from '../tracking/ended.ts';
import { createHits, type Hit } from '../tracking/hits.ts';
import { createHitRecorder } from '../tracking/record-hits.ts';
import { createTokens, hostOf } from '../tracking/token.ts';
import type { Listener } from './listener.ts';
import type { HttpMetrics } from './metrics.ts';
import { createPublicListener, type NotificationReceiver } from './public.ts';

export interface PublicParts {
  readonly live: LiveConfig;
  readonly pool: pg.Pool;
  /** Takes what SNS brings. */
  readonly intake: Pick<SnsReceiverDependencies, 'intake' | 'metrics' | 'logger'>;
  /** Whether the database is known to be one to write to. */
  readonly isPrepared: () => boolean;
  /** Webhook deliveries have become due. */
  readonly onDeliveriesDue: () => void;
  readonly registry: Registry;
  readonly metrics: HttpMetrics;
  readonly tracer: Tracer;
  readonly logger: Logger;
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

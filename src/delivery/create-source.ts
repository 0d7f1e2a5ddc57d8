import type pg from 'pg';
import { databaseLogin } from '../config/derived.ts';
import type { LiveConfig } from '../config/live.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { listenTo, OUTBOX_CHANNEL } from '../postgres/notifications.ts';
import type { JobSink, JobSource } from '../queue/jobs.ts';
import { createOutboxSource } from '../queue/outbox-source.ts';
import { createThreadedSqsSource } from '../queue/sqs/threads/threaded-source.ts';
import { createQueueMetrics } from '../queue/telemetry.ts';
import { Outbox } from '../store/messages/outbox.ts';

export interface SourceParts {
  readonly live: LiveConfig;
  readonly pool: pg.Pool;
  /** Where the jobs go. */
  readonly sink: JobSink;
  readonly registry: Registry;
  readonly logger: Logger;
}

/** Jobs come from the queue, or without one straight from the outbox. */
export function createSource({ live, pool, sink, registry, logger }: SourceParts): JobSource {
  const { worker, queueUrl, awsRegion, sqsEndpoint, database } = live.current;
  const shared = { sink, metrics: createQueueMetrics(registry), logger: logger.child({ room: 'queue' }) };
  if (queueUrl !== '') {
    const { consumers, leaseTime } = worker;
    const options = { queueUrl, region: awsRegion, endpoint: sqsEndpoint || null, consumers, leaseTime };
    return createThreadedSqsSource({ ...shared, options });
  }
  const { connectTimeout } = database;
  const databaseUrl = () => databaseLogin(live.current);
  return createOutboxSource({
    ...shared,
    options: { pollInterval: worker.pollInterval, leaseTime: worker.leaseTime },
    outbox: new Outbox(pool),
    listen: onNotification =>
      listenTo({ databaseUrl, channel: OUTBOX_CHANNEL, connectTimeout, onNotification, logger: shared.logger }),
  });
}

import type { Config } from '../config/schema.ts';
import { createThreadedSqsQueue, type ThreadedQueue } from './sqs/threads/threaded-queue.ts';

/** Without a queue there is nothing to publish to: OpenSend's worker polls the rows, ours the outbox. */
export function createConfiguredQueue(config: Config): ThreadedQueue | null {
  if (config.queueUrl === '') return null;
  return createThreadedSqsQueue({
    queueUrl: config.queueUrl,
    region: config.awsRegion,
    endpoint: config.sqsEndpoint || null,
    connections: config.publishing.concurrency,
    fairQueue: config.fairQueue,
  });
}

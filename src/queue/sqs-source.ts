import type { SQSClient } from '@aws-sdk/client-sqs';
import type { Logger } from '../observability/log.ts';
import type { HandleJobs, JobSource } from './job-source.ts';
import type { QueueMetrics } from './metrics.ts';
import { Outage } from './outage.ts';
import { Resting } from './resting.ts';
import { handleBatch } from './sqs-batch.ts';
import { createSqsClient } from './sqs-client.ts';
import { SqsReceiver } from './sqs-receiver.ts';
import { Strangers } from './strangers.ts';

export interface SqsSourceOptions {
  readonly queueUrl: string;
  readonly region: string;
  /** Where SQS is, if not where the queue's URL says. */
  readonly endpoint: string | null;
  /** How many receivers ask at the same time, each for ten messages. */
  readonly consumers: number;
  /** Milliseconds for which messages are hidden from others unless renewed; counted in whole seconds, at least three. */
  readonly leaseTime: number;
}

export interface SqsSourceDependencies {
  readonly options: SqsSourceOptions;
  readonly handle: HandleJobs;
  readonly logger: Logger;
  readonly metrics: QueueMetrics;
}

/**
 * Seconds that a receiver waits for messages. Stopping waits for it too: a call that is given up may have messages on
 * their way, and nobody would see those until their time is over.
 */
const WAIT = 2;
const REQUEST_TIMEOUT = 10_000;
/** A connection that the server has closed meanwhile fails the first call on it. */
const ATTEMPTS = 2;
/** Receivers that go on asking an empty queue. */
const AWAKE = 2;
const PAUSES = { firstPause: 250, longestPause: 5_000 };
const SHORTEST_LEASE = 3;

/**
 * Takes jobs from an SQS queue by several receivers, since each asks again only when its ten messages are done with. What
 * `handle` allows is deleted, and nothing else: jobs of other types or of others' messages, and messages that are none, stay,
 * and the queue's own redrive policy moves them to its dead-letter queue.
 *
 * A FIFO queue gives out nothing more of a group while messages of it are under way, and all send jobs are one group. So
 * there the second receiver waits for the first, and the longest send of a batch for all: a standard queue is faster. And what
 * is left there holds up all behind it until somebody else takes it, or it has been received often enough.
 */
export function createSqsSource(dependencies: SqsSourceDependencies): JobSource {
  return new SqsSource(dependencies);
}

class SqsSource implements JobSource {
  readonly #client: SQSClient;
  readonly #receivers: readonly SqsReceiver[];
  readonly #stopped = new AbortController();

  constructor(dependencies: SqsSourceDependencies) {
    const { options, logger } = dependencies;
    // A receiver may have one call under way and renew its messages by another.
    const sockets = { connections: options.consumers * 2, requestTimeout: REQUEST_TIMEOUT };
    this.#client = createSqsClient({ ...options, ...sockets, attempts: ATTEMPTS });
    const stopped = this.#stopped.signal;
    const unreachable = new Outage({ ...PAUSES, logger, what: 'the queue cannot be reached' });
    const unhandled = new Outage({ ...PAUSES, logger, what: 'jobs cannot be handled' });
    const resting = new Resting(options.consumers, AWAKE);
    const strangers = new Strangers(logger);
    const batch = { ...dependencies, strangers, client: this.#client, queueUrl: options.queueUrl, unhandled, stopped };
    const receiver = {
      client: this.#client,
      queueUrl: options.queueUrl,
      visibilityTimeout: Math.max(SHORTEST_LEASE, Math.ceil(options.leaseTime / 1000)),
      wait: WAIT,
      mayReceive: async (lastWasEmpty: boolean) => {
        await resting.wait(lastWasEmpty, stopped);
        await unreachable.passed(stopped);
        await unhandled.passed(stopped);
      },
      handle: (messages: Parameters<typeof handleBatch>[0]) => resting.whileWorking(() => handleBatch(messages, batch)),
      onAnswer: () => unreachable.succeeded(),
      onFailure: (error: unknown) => {
        if (!stopped.aborted) unreachable.failed(error);
      },
      onRefusal: (error: Error) => logger.debug({ err: error }, 'messages not renewed or deleted; they come again'),
    };
    this.#receivers = Array.from({ length: options.consumers }, () => new SqsReceiver(receiver));
  }

  start(): void {
    for (const receiver of this.#receivers) receiver.start();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#receivers.map(receiver => receiver.stop()));
    this.#client.destroy();
  }
}

import type { Logger } from '../../observability/log.ts';
import type { JobSink, JobSource } from '../job-source.ts';
import type { QueueMetrics } from '../metrics.ts';
import { createSqsClient } from './client.ts';
import { JobMessages } from './job-messages.ts';
import { SqsReception } from './reception.ts';
import { Strangers } from './strangers.ts';

export interface SqsSourceOptions {
  readonly queueUrl: string;
  readonly region: string;
  /** Where SQS is, if not where the queue's URL says. */
  readonly endpoint: string | null;
  /** How many receivers ask at the same time, each for ten messages at most. */
  readonly consumers: number;
  /** Milliseconds for which messages are hidden from others unless renewed; counted in whole seconds, at least three. */
  readonly leaseTime: number;
}

export interface SqsSourceDependencies {
  readonly options: SqsSourceOptions;
  readonly sink: JobSink;
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
/** Calls that answer for messages or renew them, beside those that wait for some. */
const OTHER_CALLS = 16;
const SHORTEST_LEASE = 3;

/**
 * Takes jobs from an SQS queue by several receivers, which ask for more as long as there is room for it, however long what
 * they have brought takes. What the sink is done with is deleted, each message by itself, and nothing else: jobs of other types
 * or of others' messages, and messages that are none, stay, and the queue's own redrive policy moves them to its dead-letter
 * queue.
 *
 * A FIFO queue gives out nothing more of a group while messages of it are under way, and all send jobs are one group. So
 * there the second call waits for the first, and the longest send of ten for all: a standard queue is faster. And what is left
 * there holds up all behind it until somebody else takes it, or it has been received often enough.
 */
export function createSqsSource({ options, sink, logger, metrics }: SqsSourceDependencies): JobSource {
  const { queueUrl, consumers: receivers } = options;
  const sockets = { connections: receivers + OTHER_CALLS, requestTimeout: REQUEST_TIMEOUT };
  const client = createSqsClient({ ...options, ...sockets, attempts: ATTEMPTS });
  const stopping = new AbortController();
  const strangers = new Strangers(logger);
  const fifo = queueUrl.endsWith('.fifo');
  const reception = new SqsReception({
    client,
    queueUrl,
    visibilityTimeout: Math.max(SHORTEST_LEASE, Math.ceil(options.leaseTime / 1000)),
    wait: WAIT,
    receivers,
    sink: new JobMessages({ sink, fifo, strangers, stopped: stopping.signal, logger, metrics }),
    whatIsAway: 'the queue cannot be reached',
    logger,
  });
  return {
    start: () => reception.start(),
    async stop() {
      stopping.abort();
      await reception.stop();
      client.destroy();
    },
  };
}

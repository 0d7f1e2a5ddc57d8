import type { Message } from '@aws-sdk/client-sqs';
import type { Logger } from '../observability/log.ts';
import { Outage } from './outage.ts';
import { createSqsClient } from './sqs-client.ts';
import { SqsReceiver } from './sqs-receiver.ts';

/** Takes notifications of providers off a queue. */
export interface EventQueue {
  start(): void;
  /** Ends what is under way and takes no more. What is not recorded by then comes again. */
  stop(): Promise<void>;
}

export interface EventQueueOptions {
  readonly queueUrl: string;
  readonly region: string;
  /** Where SQS is, if not where the queue's URL says. */
  readonly endpoint: string | null;
  /**
   * Records the bodies of messages. Those that it says true of are deleted once it has resolved; the others are left to the
   * queue's own dead-letter queue. Where it rejects, it is asked again.
   */
  readonly handle: (bodies: readonly string[]) => Promise<readonly boolean[]>;
  readonly logger: Logger;
  /** How many receive at the same time, ten messages each. */
  readonly consumers?: number;
  /** Seconds for which a message is hidden from others; renewed while it is worked on. */
  readonly visibilityTimeout?: number;
}

const CONSUMERS = 4;
/** Seconds. */
const WAIT = 2;
const VISIBILITY = 30;
/** Milliseconds. */
const REQUEST_TIMEOUT = 10_000;
const ATTEMPTS = 2;
const PAUSES = { firstPause: 250, longestPause: 5_000 };

/** The queue that SNS or EventBridge puts notifications of SES on. */
export function createEventQueue(options: EventQueueOptions): EventQueue {
  const { logger, consumers = CONSUMERS, visibilityTimeout = VISIBILITY } = options;
  const sockets = { connections: consumers * 2, requestTimeout: REQUEST_TIMEOUT, attempts: ATTEMPTS };
  const client = createSqsClient({ region: options.region, endpoint: options.endpoint, ...sockets });
  const stopping = new AbortController();
  const stopped = stopping.signal;
  const unreachable = new Outage({ ...PAUSES, logger, what: 'the queue of events cannot be reached' });
  const unhandled = new Outage({ ...PAUSES, logger, what: 'events cannot be recorded' });
  const receiver = {
    client,
    queueUrl: options.queueUrl,
    visibilityTimeout,
    wait: WAIT,
    mayReceive: () => unreachable.passed(stopped),
    handle: (messages: readonly Message[]) => handleUntilDone(messages, { ...options, unhandled, stopped }),
    onAnswer: () => unreachable.succeeded(),
    onFailure: (error: unknown) => {
      if (!stopped.aborted) unreachable.failed(error);
    },
    onRefusal: (error: Error) => logger.debug({ err: error }, 'messages not renewed or deleted; they come again'),
  };
  const receivers = Array.from({ length: consumers }, () => new SqsReceiver(receiver));
  return {
    start() {
      for (const each of receivers) each.start();
    },
    async stop() {
      stopping.abort();
      await Promise.all(receivers.map(each => each.stop()));
      client.destroy();
    },
  };
}

interface Handling extends Pick<EventQueueOptions, 'handle'> {
  readonly unhandled: Outage;
  readonly stopped: AbortSignal;
}

/**
 * While the database is away this waits with the messages in hand: each time that SQS gives a message out counts towards
 * its dead-letter queue, and all of them would end up there.
 *
 * @returns the messages to delete. Never rejects.
 */
async function handleUntilDone(messages: readonly Message[], { handle, unhandled, stopped }: Handling) {
  const bodies = messages.map(({ Body = '' }) => Body);
  while (!stopped.aborted) {
    try {
      await unhandled.passed(stopped);
      const done = await handle(bodies);
      unhandled.succeeded();
      return messages.filter((_, index) => done[index] === true);
    } catch (error) {
      if (!stopped.aborted) unhandled.failed(error);
    }
  }
  return [];
}

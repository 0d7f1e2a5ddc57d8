import { Bell } from '../flow/bell.ts';
import { CircuitBreaker } from '../flow/circuit-breaker.ts';
import type { Logger } from '../observability/log.ts';
import { MAX_BATCH } from './jobs.ts';
import { createSqsCaller } from './sqs/call.ts';
import type { QueueMessage } from './sqs/client.ts';
import { type Fate, type MessageSink, SqsReception } from './sqs/reception.ts';

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
/** Calls that delete messages or renew them, beside those that wait for some. */
const OTHER_CALLS = 8;
/** Milliseconds. */
const REQUEST_TIMEOUT = 10_000;
const ATTEMPTS = 2;

/** The queue that SNS or EventBridge puts notifications of SES on. */
export function createEventQueue(options: EventQueueOptions): EventQueue {
  const { logger, consumers = CONSUMERS, visibilityTimeout = VISIBILITY } = options;
  const sockets = { connections: consumers + OTHER_CALLS, requestTimeout: REQUEST_TIMEOUT, attempts: ATTEMPTS };
  const { call, close } = createSqsCaller({ ...options, ...sockets });
  const stopping = new AbortController();
  const reception = new SqsReception({
    call,
    queueUrl: options.queueUrl,
    visibilityTimeout,
    wait: WAIT,
    receivers: consumers,
    sink: new EventMessages({ ...options, limit: consumers * MAX_BATCH, stopped: stopping.signal }),
    whatIsAway: 'the queue of events cannot be reached',
    logger,
  });
  return {
    start: () => reception.start(),
    async stop() {
      stopping.abort();
      await reception.stop();
      close();
    },
  };
}

interface EventMessagesOptions {
  /** Records bodies (`EventQueueOptions`). */
  readonly handle: (bodies: readonly string[]) => Promise<readonly boolean[]>;
  /** Messages in hand at most. */
  readonly limit: number;
  readonly stopped: AbortSignal;
  readonly logger: Logger;
}

const PAUSES = { firstPause: 250, longestPause: 5_000 };

/** Has notifications recorded, and says which messages are then to be deleted. */
class EventMessages implements MessageSink {
  readonly #options: EventMessagesOptions;
  readonly #breaker: CircuitBreaker;
  readonly #freed = new Bell();
  #taken = 0;

  constructor(options: EventMessagesOptions) {
    this.#options = options;
    this.#breaker = new CircuitBreaker({ ...PAUSES, logger: options.logger, what: 'events cannot be recorded' });
  }

  get room(): number {
    return this.#options.limit - this.#taken;
  }

  async whenRoom(signal: AbortSignal): Promise<void> {
    while (this.room <= 0 && !signal.aborted) await this.#freed.heard(signal);
  }

  take(messages: readonly QueueMessage[]): readonly Promise<Fate>[] {
    this.#taken += messages.length;
    const recorded = this.#recordUntilDone(messages.map(({ body }) => body)).finally(() => {
      this.#taken -= messages.length;
      this.#freed.ring();
    });
    return messages.map((_, index) => recorded.then(done => (done[index] === true ? 'deleted' : 'left')));
  }

  /**
   * While the database is away this waits with the messages in hand: each time that SQS gives a message out counts towards
   * its dead-letter queue, and all of them would end up there.
   *
   * @returns which of them to delete. Never rejects.
   */
  async #recordUntilDone(bodies: readonly string[]): Promise<readonly boolean[]> {
    const { handle, stopped } = this.#options;
    while (!stopped.aborted) {
      try {
        await this.#breaker.passed(stopped);
        const done = await handle(bodies);
        this.#breaker.succeeded();
        return done;
      } catch (error) {
        if (!stopped.aborted) this.#breaker.failed(error);
      }
    }
    return [];
  }
}

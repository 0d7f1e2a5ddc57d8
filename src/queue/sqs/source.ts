import type { SendJob } from '../../message/send-job.ts';
import type { Logger } from '../../observability/log.ts';
import type { JobOutcome, JobSink, JobSource } from '../jobs.ts';
import type { QueueMetrics } from '../telemetry.ts';
import { createSqsCaller } from './call.ts';
import type { QueueMessage } from './client.ts';
import { type ReceivedJob, readReceived } from './job-format.ts';
import { type Fate, type MessageSink, SqsReception } from './reception.ts';

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
  const { call, close } = createSqsCaller({ ...options, ...sockets, attempts: ATTEMPTS });
  const stopping = new AbortController();
  const strangers = new Strangers(logger);
  const fifo = queueUrl.endsWith('.fifo');
  const reception = new SqsReception({
    call,
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
      close();
    },
  };
}

interface JobMessagesDependencies {
  readonly sink: JobSink;
  /** Whether the queue gives out nothing more of a group while messages of it are hidden. */
  readonly fifo: boolean;
  /** Is told of jobs of messages that are not this program's. */
  readonly strangers: Strangers;
  readonly stopped: AbortSignal;
  readonly logger: Logger;
  readonly metrics: QueueMetrics;
}

interface JobMessage {
  readonly message: QueueMessage;
  readonly job: SendJob;
}

/** Seconds for which a message that is not for this worker is hidden at most. */
const LONGEST_PAUSE = 60;
/** In a FIFO queue, those behind a hidden message are hidden with it. */
const LONGEST_FIFO_PAUSE = 2;

/** Hands on the jobs among a queue's messages, and says what is to become of all of them. */
class JobMessages implements MessageSink {
  readonly #dependencies: JobMessagesDependencies;

  constructor(dependencies: JobMessagesDependencies) {
    this.#dependencies = dependencies;
  }

  get room(): number {
    return this.#dependencies.sink.room;
  }

  whenRoom(signal: AbortSignal): Promise<void> {
    return this.#dependencies.sink.whenRoom(signal);
  }

  take(messages: readonly QueueMessage[]): readonly Promise<Fate>[] {
    const { sink, metrics } = this.#dependencies;
    const received = messages.map(message => ({ message, read: readReceived(message) }));
    for (const kind of ['job', 'other', 'poison'] as const)
      metrics.received(kind, received.filter(({ read }) => read.kind === kind).length);
    const jobs = received.flatMap(({ message, read }) => (read.kind === 'job' ? [{ message, job: read.job }] : []));
    const outcomes = sink.take(jobs.map(({ job }) => job));
    const fates = new Map(jobs.map((job, index) => [job.message, this.#fateOf(job, outcomes[index])]));
    return received.map(({ message, read }) => fates.get(message) ?? Promise.resolve(this.#fateOfOther(message, read)));
  }

  async #fateOf({ message, job }: JobMessage, outcome: Promise<JobOutcome> = Promise.resolve('left')): Promise<Fate> {
    const { metrics, strangers, stopped, fifo } = this.#dependencies;
    const what = await outcome;
    metrics.handled(what, 1);
    if (what === 'done') return 'deleted';
    if (what === 'foreign') strangers.met(job.emailId);
    if (stopped.aborted) return { hiddenFor: 0 };
    // Those of others' messages are for others, who may come at any time; but this worker may be the only one that asks: each
    // time they stay hidden for longer.
    if (what === 'foreign') return this.#pause(message, 2 ** message.receivedBefore);
    if (what === 'left') return fifo ? this.#pause(message) : 'left';
    const seconds = what.againAfter / 1_000;
    return { hiddenFor: fifo ? Math.min(seconds, LONGEST_FIFO_PAUSE) : seconds };
  }

  #fateOfOther(message: QueueMessage, read: ReceivedJob): Fate {
    const { logger, fifo } = this.#dependencies;
    // Others may come for it at any time.
    if (read.kind !== 'poison') return fifo ? this.#pause(message) : 'left';
    const facts = { messageId: message.id, received: message.receivedBefore + 1, reason: read.reason };
    logger.warn(facts, 'queue holds a message that is no job; it is left to the dead-letter queue');
    // It comes again soon, and so reaches the dead-letter queue soon.
    return this.#pause(message);
  }

  #pause({ receivedBefore }: QueueMessage, seconds = receivedBefore): Fate {
    const longest = this.#dependencies.fifo ? LONGEST_FIFO_PAUSE : LONGEST_PAUSE;
    return { hiddenFor: Math.min(seconds, longest) };
  }
}

/** Milliseconds between two lines of the log. */
const INTERVAL = 60_000;

/** Says that the queue has jobs of messages that are not this program's, now and then, however many there are. */
class Strangers {
  readonly #logger: Logger;
  #saidAt = Number.NEGATIVE_INFINITY;
  #unsaid = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  met(emailId: string): void {
    this.#unsaid += 1;
    const now = performance.now();
    if (now - this.#saidAt < INTERVAL) return;
    this.#logger.warn(
      { emailId, jobs: this.#unsaid },
      'the queue has jobs of messages that no relay of this database has accepted; they are left to whoever else reads it. An ' +
        'OpenSend and this worker need a queue and a database each',
    );
    this.#saidAt = now;
    this.#unsaid = 0;
  }
}

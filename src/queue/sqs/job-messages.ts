import type { Logger } from '../../observability/log.ts';
import type { JobOutcome, JobSink, TakenJob } from '../job-source.ts';
import type { QueueMetrics } from '../metrics.ts';
import type { QueueMessage } from './calls.ts';
import { type ReceivedJob, readReceived } from './received-job.ts';
import type { Fate, MessageSink } from './reception.ts';
import type { Strangers } from './strangers.ts';

export interface JobMessagesDependencies {
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
  readonly job: TakenJob;
}

/** Seconds for which a message that is not for this worker is hidden at most. */
const LONGEST_PAUSE = 60;
/** In a FIFO queue, those behind a hidden message are hidden with it. */
const LONGEST_FIFO_PAUSE = 2;

/** Hands on the jobs among a queue's messages, and says what is to become of all of them. */
export class JobMessages implements MessageSink {
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

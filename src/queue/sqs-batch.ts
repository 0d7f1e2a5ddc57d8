import { ChangeMessageVisibilityBatchCommand, type Message, type SQSClient } from '@aws-sdk/client-sqs';
import type { Logger } from '../observability/log.ts';
import { type HandleJobs, type JobOutcome, outcomeName, type TakenJob } from './job-source.ts';
import type { QueueMetrics } from './metrics.ts';
import type { Outage } from './outage.ts';
import { readReceived } from './received-job.ts';
import type { Strangers } from './strangers.ts';

export interface BatchDependencies {
  readonly client: SQSClient;
  readonly queueUrl: string;
  readonly handle: HandleJobs;
  /** Is told whether jobs can be handled at all. */
  readonly unhandled: Outage;
  /** Is told of jobs of messages that are not this program's. */
  readonly strangers: Strangers;
  readonly stopped: AbortSignal;
  readonly logger: Logger;
  readonly metrics: QueueMetrics;
}

type Sorted = ReturnType<typeof outcomeName>;

interface ReceivedJob {
  readonly message: Message;
  readonly job: TakenJob;
}

/** Seconds for which a message that is not for this worker is hidden at most. */
const LONGEST_PAUSE = 60;
/** In a FIFO queue, those behind a hidden message are hidden with it. */
const LONGEST_FIFO_PAUSE = 2;

/**
 * Handles messages that came together.
 *
 * @returns those that may be deleted. Never rejects.
 */
export async function handleBatch(messages: readonly Message[], dependencies: BatchDependencies): Promise<Message[]> {
  const { stopped } = dependencies;
  if (stopped.aborted) {
    await show(messages, () => 0, dependencies);
    return [];
  }
  const { jobs, others, poison } = sort(messages, dependencies);
  const { done, left, foreign } = await handleJobs(jobs, dependencies);
  const fifo = dependencies.queueUrl.endsWith('.fifo');
  const pause = (message: Message): number => {
    const before = receivedBefore(message);
    return Math.min(foreign.includes(message) ? 2 ** before : before, fifo ? LONGEST_FIFO_PAUSE : LONGEST_PAUSE);
  };
  // What is left unsaid stays hidden until its time is over. Poison comes again soon, and so reaches the dead-letter queue
  // soon; other jobs are for others, who may come at any time. So are those of others' messages, but this worker may be the
  // only one that asks: each time they stay hidden for longer.
  const shown = [...poison, ...foreign, ...(fifo ? others : []), ...(fifo || stopped.aborted ? left : [])];
  await show(shown, message => (stopped.aborted ? 0 : pause(message)), dependencies);
  return done;
}

function sort(messages: readonly Message[], { logger, metrics }: BatchDependencies) {
  const jobs: ReceivedJob[] = [];
  const others: Message[] = [];
  const poison: Message[] = [];
  for (const message of messages) {
    const received = readReceived(message);
    if (received.kind === 'job') jobs.push({ message, job: received.job });
    else if (received.kind === 'other') others.push(message);
    else {
      poison.push(message);
      const facts = { messageId: message.MessageId, received: receivedBefore(message) + 1, reason: received.reason };
      logger.warn(facts, 'queue holds a message that is no job; it is left to the dead-letter queue');
    }
  }
  metrics.received('job', jobs.length);
  metrics.received('other', others.length);
  metrics.received('poison', poison.length);
  return { jobs, others, poison };
}

/** Never rejects. @returns the messages by what became of their jobs */
async function handleJobs(
  jobs: readonly ReceivedJob[],
  { handle, metrics, stopped, unhandled, strangers }: BatchDependencies,
): Promise<Record<Sorted, Message[]>> {
  const sorted: Record<Sorted, Message[]> = { done: [], left: [], foreign: [] };
  if (jobs.length === 0) return sorted;
  let outcomes: readonly JobOutcome[] = [];
  try {
    outcomes = await handle(jobs.map(({ job }) => job));
    unhandled.succeeded();
  } catch (error) {
    if (!stopped.aborted) unhandled.failed(error);
  }
  jobs.forEach(({ message, job: { emailId } }, index) => {
    const outcome = outcomeName(outcomes[index] ?? 'left');
    sorted[outcome].push(message);
    if (outcome === 'foreign') strangers.met(emailId);
  });
  for (const [outcome, { length }] of Object.entries(sorted)) metrics.handled(outcome as JobOutcome, length);
  return sorted;
}

/** How often a message was received before this time. */
function receivedBefore({ Attributes }: Message): number {
  return Number(Attributes?.ApproximateReceiveCount ?? 1) - 1;
}

/** Lets others have messages after so many seconds. Never rejects: their time ends by itself, a little later. */
async function show(
  messages: readonly Message[],
  after: (message: Message) => number,
  { client, queueUrl, logger }: BatchDependencies,
): Promise<void> {
  if (messages.length === 0) return;
  const Entries = messages.map((message, index) => ({
    Id: String(index),
    ReceiptHandle: message.ReceiptHandle,
    VisibilityTimeout: after(message),
  }));
  await client
    .send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: queueUrl, Entries }))
    .catch(error => logger.debug({ err: error, messages: messages.length }, 'messages not given back'));
}

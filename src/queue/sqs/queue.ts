import type { Config } from '../../config/schema.ts';
import type { OutboxJob } from '../../message/send-job.ts';
import type { JobQueue, RefusedJob } from '../jobs.ts';
import { createSqsCaller } from './call.ts';
import { groupOfOwner, SEND_JOB_TYPE, sendJobAttributes, sendJobBody, sendJobId } from './job-format.ts';

const REQUEST_TIMEOUT = 5_000;
/** Milliseconds for a look at the queue. */
const LOOK_TIMEOUT = 2_000;
/** Publishing needs no more than the right to send: one who may not ask is answered all the same. */
const NOT_ALLOWED = /^AccessDenied/;

export interface SqsOptions {
  readonly queueUrl: string;
  readonly region: string;
  /** Where SQS is, if not where the queue's URL says. */
  readonly endpoint: string | null;
  /** Calls that may be under way at once. */
  readonly connections: number;
  /** On a standard queue, jobs carry their owner as message group (SQS fair queues). */
  readonly fairQueue: boolean;
}

/** An SQS queue of jobs. */
export interface SqsQueue extends JobQueue {
  /** Resolves where SQS answers for the queue, within two seconds or not at all; rejects with an error that has SQS's name. */
  check(): Promise<void>;
}

/** Without a queue there is nothing to publish to: OpenSend's worker polls the rows, ours the outbox. */
export function createConfiguredQueue(config: Config): SqsQueue | null {
  if (config.queueUrl === '') return null;
  return createSqsQueue({
    queueUrl: config.queueUrl,
    region: config.awsRegion,
    endpoint: config.sqsEndpoint || null,
    connections: config.publishing.concurrency,
    fairQueue: config.fairQueue,
  });
}

/** An entry of SendMessageBatch, as its JSON has it. */
interface Entry {
  readonly Id: string;
  readonly MessageBody: string;
  readonly MessageAttributes: Readonly<Record<string, { readonly DataType: 'String'; readonly StringValue: string }>>;
  readonly MessageGroupId?: string;
  readonly MessageDeduplicationId?: string;
}

type Place = Pick<Entry, 'MessageDeduplicationId' | 'MessageGroupId'>;

/** The SQS queue behind a URL. */
export function createSqsQueue(options: SqsOptions): SqsQueue {
  const { queueUrl: QueueUrl, fairQueue } = options;
  // The outbox tries again with its own pauses, over all pods; retries here would only hide an outage from it.
  const { call, close } = createSqsCaller({ ...options, requestTimeout: REQUEST_TIMEOUT, attempts: 1 });
  const placeOf = QueueUrl.endsWith('.fifo') ? placeInFifo : fairQueue ? placeAmongOwners : () => ({});
  const ask = async (attribute: string): Promise<unknown> => {
    const input = { QueueUrl, AttributeNames: [attribute] };
    const { Attributes } = await call('GetQueueAttributes', input, LOOK_TIMEOUT);
    return (Attributes as Record<string, unknown> | undefined)?.[attribute];
  };
  return {
    async send(jobs, timeLimit) {
      const Entries = jobs.map((job, index) => entryOf(job, index, placeOf(job)));
      return refusedOf(jobs, await call('SendMessageBatch', { QueueUrl, Entries }, timeLimit));
    },
    depth: async () => Number((await ask('ApproximateNumberOfMessages')) ?? Number.NaN) || 0,
    async check() {
      await ask('QueueArn').catch((error: Error) => {
        if (!NOT_ALLOWED.test(error.name)) throw error;
      });
    },
    close,
  };
}

/** All that the answer does not name as successful, so that a strange answer loses nothing. */
function refusedOf(
  jobs: readonly OutboxJob[],
  { Successful, Failed }: Readonly<Record<string, unknown>>,
): RefusedJob[] {
  const taken = new Set(listOf(Successful).map(({ Id }) => Id));
  if (taken.size === jobs.length) return [];
  const failures = new Map(listOf(Failed).map(failure => [failure['Id'], failure]));
  return jobs.flatMap((job, index) => {
    const id = String(index);
    if (taken.has(id)) return [];
    const { Code = 'unknown', Message = '' } = failures.get(id) ?? {};
    return [{ job, reason: `${Code}: ${Message}` }];
  });
}

function listOf(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value : [];
}

function entryOf(job: OutboxJob, index: number, place: Place): Entry {
  return { Id: String(index), MessageBody: sendJobBody(job), MessageAttributes: attributesOf(job), ...place };
}

/** The pipeline contract's. One group keeps all jobs in order, and is delivered batch after batch. */
function placeInFifo(job: OutboxJob): Place {
  return { MessageDeduplicationId: deduplicationId(job), MessageGroupId: SEND_JOB_TYPE };
}

/** On a standard queue a group orders nothing; SQS delivers first those groups of which little is under way. */
function placeAmongOwners({ userId }: OutboxJob): Place {
  return userId === null ? {} : { MessageGroupId: groupOfOwner(userId) };
}

/** A retry must not be swallowed by the five minutes for which a FIFO queue remembers the first try. */
function deduplicationId(job: OutboxJob): string {
  return job.try === 0 ? sendJobId(job) : `${sendJobId(job)}#${job.try}`;
}

function attributesOf(job: OutboxJob): Entry['MessageAttributes'] {
  const attributes = Object.entries(sendJobAttributes(job));
  return Object.fromEntries(attributes.map(([name, StringValue]) => [name, { DataType: 'String', StringValue }]));
}

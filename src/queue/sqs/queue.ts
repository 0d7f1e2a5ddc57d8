import {
  GetQueueAttributesCommand,
  type MessageAttributeValue,
  type QueueAttributeName,
  SendMessageBatchCommand,
  type SendMessageBatchCommandOutput,
  type SendMessageBatchRequestEntry,
} from '@aws-sdk/client-sqs';
import type { OutboxJob } from '../../message/send-job.ts';
import type { JobQueue, RefusedJob } from '../jobs.ts';
import { createSqsClient } from './client.ts';
import { groupOfOwner, SEND_JOB_TYPE, sendJobAttributes, sendJobBody, sendJobId } from './job-format.ts';

const REQUEST_TIMEOUT = 5_000;

type Place = Pick<SendMessageBatchRequestEntry, 'MessageDeduplicationId' | 'MessageGroupId'>;

export interface SqsOptions {
  readonly queueUrl: string;
  readonly region: string;
  /** Where SQS is, if not where the queue's URL says; the SDK would prefer the URL's host to its own variable. */
  readonly endpoint: string | null;
  /** Calls that may be under way at once. */
  readonly connections: number;
  /** On a standard queue, jobs carry their owner as message group (SQS fair queues). */
  readonly fairQueue: boolean;
}

/** The SQS queue behind a URL. */
export function createSqsQueue(options: SqsOptions): JobQueue {
  // The outbox tries again with its own pauses, over all pods; retries here would only hide an outage from it.
  const client = createSqsClient({ ...options, requestTimeout: REQUEST_TIMEOUT, attempts: 1 });
  const fifo = options.queueUrl.endsWith('.fifo');
  const placeOf = fifo ? placeInFifo : options.fairQueue ? placeAmongOwners : () => ({});
  return {
    async send(jobs, timeLimit) {
      const entries = jobs.map((job, index) => ({ Id: String(index), ...messageOf(job), ...placeOf(job) }));
      const command = new SendMessageBatchCommand({ QueueUrl: options.queueUrl, Entries: entries });
      const answer = await client.send(command, { abortSignal: AbortSignal.timeout(Math.floor(timeLimit)) });
      return refusedOf(jobs, answer);
    },
    async depth() {
      const AttributeNames: QueueAttributeName[] = ['ApproximateNumberOfMessages'];
      const command = new GetQueueAttributesCommand({ QueueUrl: options.queueUrl, AttributeNames });
      const { Attributes } = await client.send(command);
      return Number(Attributes?.ApproximateNumberOfMessages ?? Number.NaN) || 0;
    },
    close() {
      client.destroy();
    },
  };
}

/** All that the answer does not name as successful, so that a strange answer loses nothing. */
function refusedOf(jobs: readonly OutboxJob[], answer: SendMessageBatchCommandOutput): RefusedJob[] {
  const taken = new Set(answer.Successful?.map(({ Id }) => Id));
  const failures = new Map(answer.Failed?.map(failure => [failure.Id, failure]));
  return jobs.flatMap((job, index) => {
    const id = String(index);
    if (taken.has(id)) return [];
    const { Code = 'unknown', Message = '' } = failures.get(id) ?? {};
    return [{ job, reason: `${Code}: ${Message}` }];
  });
}

function messageOf(job: OutboxJob) {
  return { MessageBody: sendJobBody(job), MessageAttributes: attributesOf(job) };
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

function attributesOf(job: OutboxJob): Record<string, MessageAttributeValue> {
  const attributes: Record<string, MessageAttributeValue> = {};
  for (const [name, value] of Object.entries(sendJobAttributes(job))) {
    attributes[name] = { DataType: 'String', StringValue: value };
  }
  return attributes;
}

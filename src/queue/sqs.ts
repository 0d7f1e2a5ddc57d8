import {
  type MessageAttributeValue,
  SendMessageBatchCommand,
  type SendMessageBatchCommandOutput,
  type SendMessageBatchRequestEntry,
  SQSClient,
} from '@aws-sdk/client-sqs';
import type { JobQueue, RefusedJob } from './job-queue.ts';
import { SEND_JOB_TYPE, type SendJob, sendJobAttributes, sendJobBody, sendJobId } from './send-job.ts';

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const CONNECTION_TIMEOUT = 2_000;
const REQUEST_TIMEOUT = 5_000;

export interface SqsOptions {
  readonly queueUrl: string;
  readonly region: string;
  /** Where SQS is, if not where the queue's URL says; the SDK would prefer the URL's host to its own variable. */
  readonly endpoint: string | null;
  /** Calls that may be under way at once. */
  readonly connections: number;
}

/**
 * The SQS queue behind a URL. Credentials, endpoint and the like come from the AWS SDK's own chain
 * (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL_SQS`, instance and pod roles).
 */
export function createSqsQueue(options: SqsOptions): JobQueue {
  const client = new SQSClient({
    region: options.region,
    ...(options.endpoint !== null && { endpoint: options.endpoint }),
    // The outbox tries again with its own pauses, over all pods; retries here would only hide an outage from it.
    maxAttempts: 1,
    md5: false,
    // Without a logger it would write to the console at each call that the queue's URL is where the queue is.
    logger: SILENT,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT,
      requestTimeout: REQUEST_TIMEOUT,
      throwOnRequestTimeout: true,
      httpAgent: { keepAlive: true, maxSockets: options.connections },
      httpsAgent: { keepAlive: true, maxSockets: options.connections },
    },
  });
  // It prepares copies of each input and output for a logger that writes nothing.
  client.middlewareStack.remove('loggerMiddleware');
  const fifo = options.queueUrl.endsWith('.fifo');
  return {
    async send(jobs, timeLimit) {
      const entries = jobs.map((job, index) => entryOf(job, String(index), fifo));
      const command = new SendMessageBatchCommand({ QueueUrl: options.queueUrl, Entries: entries });
      const answer = await client.send(command, { abortSignal: AbortSignal.timeout(Math.floor(timeLimit)) });
      return refusedOf(jobs, answer);
    },
    close() {
      client.destroy();
    },
  };
}

/** All that the answer does not name as successful, so that a strange answer loses nothing. */
function refusedOf(jobs: readonly SendJob[], answer: SendMessageBatchCommandOutput): RefusedJob[] {
  const taken = new Set(answer.Successful?.map(({ Id }) => Id));
  const failures = new Map(answer.Failed?.map(failure => [failure.Id, failure]));
  return jobs.flatMap((job, index) => {
    const id = String(index);
    if (taken.has(id)) return [];
    const { Code = 'unknown', Message = '' } = failures.get(id) ?? {};
    return [{ job, reason: `${Code}: ${Message}` }];
  });
}

function entryOf(job: SendJob, id: string, fifo: boolean): SendMessageBatchRequestEntry {
  return {
    Id: id,
    MessageBody: sendJobBody(job),
    MessageAttributes: attributesOf(job),
    ...(fifo && { MessageDeduplicationId: deduplicationId(job), MessageGroupId: SEND_JOB_TYPE }),
  };
}

/** A retry must not be swallowed by the five minutes for which a FIFO queue remembers the first try. */
function deduplicationId(job: SendJob): string {
  return job.try === 0 ? sendJobId(job) : `${sendJobId(job)}#${job.try}`;
}

function attributesOf(job: SendJob): Record<string, MessageAttributeValue> {
  const attributes: Record<string, MessageAttributeValue> = {};
  for (const [name, value] of Object.entries(sendJobAttributes(job))) {
    attributes[name] = { DataType: 'String', StringValue: value };
  }
  return attributes;
}

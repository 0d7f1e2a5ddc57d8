import {
  type BatchResultErrorEntry,
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  type SQSClient,
} from '@aws-sdk/client-sqs';
import { MAX_BATCH } from '../job-queue.ts';

/** A message as the queue has given it out. */
export interface QueueMessage {
  readonly id: string;
  /** Names this delivery of it; a later one has another, and then only that one is sure to work. */
  readonly receipt: string;
  readonly body: string;
  /** How often it was given out before this time. */
  readonly receivedBefore: number;
  readonly group: string | undefined;
}

/** A message that is to be hidden for so many seconds from now. */
export interface Hiding {
  readonly receipt: string;
  readonly seconds: number;
}

/** A call succeeded as a whole, but not for all of its messages. */
export class RefusedMessages extends Error {}

/** The calls to one queue that a receiver makes. @throws RefusedMessages in those for several messages */
export interface SqsCalls {
  receive(limit: number): Promise<QueueMessage[]>;
  delete(receipts: readonly string[]): Promise<void>;
  hide(messages: readonly Hiding[]): Promise<void>;
}

export interface SqsCallsOptions {
  readonly client: SQSClient;
  readonly queueUrl: string;
  /** Seconds for which what is received is hidden from others. */
  readonly visibilityTimeout: number;
  /** Seconds that one call waits for messages. */
  readonly wait: number;
}

/** SQS API reference, ChangeMessageVisibility: twelve hours. */
const LONGEST_HIDING = 43_200;

export function createSqsCalls({ client, queueUrl: QueueUrl, visibilityTimeout, wait }: SqsCallsOptions): SqsCalls {
  return {
    async receive(limit) {
      const command = new ReceiveMessageCommand({
        QueueUrl,
        MaxNumberOfMessages: Math.min(limit, MAX_BATCH),
        WaitTimeSeconds: wait,
        VisibilityTimeout: visibilityTimeout,
        MessageSystemAttributeNames: ['MessageGroupId', 'ApproximateReceiveCount'],
      });
      const { Messages = [] } = await client.send(command);
      return Messages.map(({ MessageId = '', ReceiptHandle = '', Body = '', Attributes }) => ({
        id: MessageId,
        receipt: ReceiptHandle,
        body: Body,
        receivedBefore: Number(Attributes?.ApproximateReceiveCount ?? 1) - 1,
        group: Attributes?.MessageGroupId,
      }));
    },
    async delete(receipts) {
      const Entries = receipts.map((ReceiptHandle, index) => ({ Id: String(index), ReceiptHandle }));
      refuse((await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))).Failed);
    },
    async hide(messages) {
      const Entries = messages.map(({ receipt, seconds }, index) => ({
        Id: String(index),
        ReceiptHandle: receipt,
        VisibilityTimeout: Math.min(Math.max(0, Math.ceil(seconds)), LONGEST_HIDING),
      }));
      refuse((await client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries }))).Failed);
    },
  };
}

/** @throws RefusedMessages where there are any */
function refuse(failed: readonly BatchResultErrorEntry[] | undefined): void {
  if (!failed?.length) return;
  throw new RefusedMessages(`the queue refused ${failed.length} messages: ${failed[0]?.Code}: ${failed[0]?.Message}`);
}

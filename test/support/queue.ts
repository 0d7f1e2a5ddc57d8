import { randomBytes } from 'node:crypto';
import { DeleteMessageCommand, DeleteQueueCommand, type Message, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { createQueue as createEmulatorQueue, sqsClient, sqsEnvironment } from '../../dev/sqs.ts';
import { shared } from './environment.ts';

interface TestContext {
  after(fn: () => Promise<void>): void;
}

export interface TestQueue {
  readonly url: string;
  /** Takes and deletes all messages that are there now, in the order received, with all their attributes. */
  receiveAll(): Promise<Message[]>;
}

/** The environment with which the AWS SDK, in the relay under test, talks to the run's SQS. */
export function sqsEnv(): ReturnType<typeof sqsEnvironment> {
  return sqsEnvironment(shared('sqsEndpoint'));
}

/** A queue of the test's own on the run's SQS, deleted afterwards. */
export async function createQueue(t: TestContext, options: { readonly fifo?: boolean } = {}): Promise<TestQueue> {
  const client = sqsClient(shared('sqsEndpoint'));
  const name = `test-${randomBytes(8).toString('hex')}${options.fifo ? '.fifo' : ''}`;
  const url = await createEmulatorQueue(shared('sqsEndpoint'), name);
  t.after(async () => {
    await client.send(new DeleteQueueCommand({ QueueUrl: url }));
    client.destroy();
  });

  async function receiveAll(): Promise<Message[]> {
    const all: Message[] = [];
    for (;;) {
      const request = { QueueUrl: url, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'] };
      const { Messages = [] } = await client.send(
        new ReceiveMessageCommand({ ...request, MessageSystemAttributeNames: ['All'] }),
      );
      if (Messages.length === 0) return all;
      all.push(...Messages);
      for (const { ReceiptHandle } of Messages) {
        await client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }));
      }
    }
  }

  return { url, receiveAll };
}

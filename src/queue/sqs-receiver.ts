import type { Message, SQSClient } from '@aws-sdk/client-sqs';
import { Consumer } from 'sqs-consumer';
import { MAX_BATCH } from './job-queue.ts';

export interface SqsReceiverOptions {
  readonly client: SQSClient;
  readonly queueUrl: string;
  /** Seconds for which messages are hidden from others; renewed thrice in that time while they are handled. */
  readonly visibilityTimeout: number;
  /** Seconds that one call waits for messages. */
  readonly wait: number;
  /** Resolves when SQS may be asked; rejects where it must not be asked any more. */
  readonly mayReceive: (lastWasEmpty: boolean) => Promise<void>;
  /** @returns the messages that may be deleted. Never rejects. */
  readonly handle: (messages: readonly Message[]) => Promise<Message[]>;
  /** SQS has answered, maybe with nothing. */
  readonly onAnswer: () => void;
  /** A call failed. */
  readonly onFailure: (error: unknown) => void;
  /** A call that renews or deletes messages succeeded as a whole, but not for all of them. */
  readonly onRefusal: (error: Error) => void;
}

/** One receiver of a queue: asks for up to ten messages, and again when those are done with. */
export class SqsReceiver {
  readonly #consumer: Consumer;

  constructor(options: SqsReceiverOptions) {
    const { handle, onAnswer, visibilityTimeout } = options;
    let lastWasEmpty = false;
    this.#consumer = new Consumer({
      queueUrl: options.queueUrl,
      sqs: options.client,
      batchSize: MAX_BATCH,
      waitTimeSeconds: options.wait,
      visibilityTimeout,
      heartbeatInterval: visibilityTimeout / 3,
      messageSystemAttributeNames: ['MessageGroupId', 'ApproximateReceiveCount'],
      suppressFifoWarning: true,
      // After some failures, but not after all, the library would pause by itself. Ours is the only pause.
      authenticationErrorTimeout: 0,
      preReceiveMessageCallback: () => options.mayReceive(lastWasEmpty),
      handleMessageBatch: messages => {
        lastWasEmpty = false;
        onAnswer();
        return handle(messages);
      },
    });
    this.#consumer.on('empty', () => {
      lastWasEmpty = true;
      onAnswer();
    });
    // Only an error of a call has a cause.
    this.#consumer.on('error', error => (error.cause ? options.onFailure(error.cause) : options.onRefusal(error)));
  }

  start(): void {
    this.#consumer.start();
  }

  /** Asks no more. Resolves when the last answer has come, its messages are handled, and what may be deleted is deleted. */
  async stop(): Promise<void> {
    const consumer = this.#consumer;
    consumer.stop();
    if (!consumer.status.isPolling) return;
    await new Promise<void>(resolve => {
      consumer.once('empty', () => resolve());
      consumer.once('response_processed', () => resolve());
      // With messages, it is a failure to renew or delete them, and not yet the end.
      consumer.on('error', (_, messages) => {
        if (messages === undefined) resolve();
      });
    });
  }
}

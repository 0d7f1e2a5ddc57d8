import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { createSqsClient, type SqsClientOptions } from './client.ts';

export interface QueueCheckOptions extends Pick<SqsClientOptions, 'region' | 'endpoint'> {
  readonly queueUrl: string;
}

export interface QueueCheck {
  /** Resolves where SQS answers for the queue, within two seconds or not at all. */
  check(): Promise<void>;
  close(): void;
}

const REQUEST_TIMEOUT = 2_000;
/** Publishing needs no more than the right to send: one who may not ask is answered all the same. */
const NOT_ALLOWED = /^AccessDenied/;

/** Asks SQS for the queue's ARN, which shows that the queue is there. */
export function createQueueCheck({ queueUrl, region, endpoint }: QueueCheckOptions): QueueCheck {
  const client = createSqsClient({ region, endpoint, connections: 1, requestTimeout: REQUEST_TIMEOUT, attempts: 1 });
  return {
    async check() {
      try {
        await client.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['QueueArn'] }));
      } catch (error) {
        if (!(error instanceof Error && NOT_ALLOWED.test(error.name))) throw error;
      }
    },
    close: () => client.destroy(),
  };
}

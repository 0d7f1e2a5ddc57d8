import { GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const CONNECTION_TIMEOUT = 2_000;

export interface SqsClientOptions {
  readonly region: string;
  /** Where SQS is, if not where the queue's URL says; the SDK would prefer the URL's host to its own variable. */
  readonly endpoint: string | null;
  /** Calls that may be under way at once. */
  readonly connections: number;
  /** Milliseconds that one call may take. */
  readonly requestTimeout: number;
  /** How often the SDK tries a call. */
  readonly attempts: number;
}

/**
 * A client of SQS. Credentials, endpoint and the like come from the AWS SDK's own chain (`AWS_ACCESS_KEY_ID`,
 * `AWS_ENDPOINT_URL_SQS`, instance and pod roles).
 */
export function createSqsClient(options: SqsClientOptions): SQSClient {
  const agent = { keepAlive: true, maxSockets: options.connections };
  const client = new SQSClient({
    region: options.region,
    ...(options.endpoint !== null && { endpoint: options.endpoint }),
    maxAttempts: options.attempts,
    md5: false,
    // Without a logger it would write to the console at each call that the queue's URL is where the queue is.
    logger: SILENT,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT,
      requestTimeout: options.requestTimeout,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
  // It prepares copies of each input and output for a logger that writes nothing.
  client.middlewareStack.remove('loggerMiddleware');
  return client;
}

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

import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs';

export interface SqsOptions {
  /** On 127.0.0.1; 0 for any free one. */
  readonly port: number;
  /** Keeps queues and messages over restarts; without it they live in memory. */
  readonly dataDirectory?: string;
}

export interface SqsServer {
  /** For `AWS_ENDPOINT_URL_SQS`. */
  readonly endpoint: string;
  /** Makes the queue unless it is there. @returns its URL */
  createQueue(name: string): Promise<string>;
  stop(): Promise<void>;
}

/** Any will do: the emulator checks no signature. */
const CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local' };
const REGION = 'us-east-1';

/** The environment with which the AWS SDK talks to an emulator at that endpoint. */
export function sqsEnvironment(endpoint: string) {
  return {
    AWS_ENDPOINT_URL_SQS: endpoint,
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: REGION,
  } as const;
}

/** A client for an emulator at that endpoint. */
export function sqsClient(endpoint: string): SQSClient {
  return new SQSClient({ endpoint, region: REGION, credentials: CREDENTIALS });
}

/**
 * Starts fauxqs, an emulator of SQS, on 127.0.0.1 only.
 *
 * @throws Error in plain words when fauxqs is not installed; the system's own when the port is taken
 */
export async function startSqs(options: SqsOptions): Promise<SqsServer> {
  const { buildApp } = await importFauxqs();
  const persistence = options.dataDirectory ? await openPersistence(options.dataDirectory) : undefined;
  const app = buildApp({ logger: false, ...(persistence ? { stores: persistence.stores } : {}) });
  if (persistence) app.addHook('preClose', async () => persistence.close());
  const endpoint = await app.listen({ host: '127.0.0.1', port: options.port });
  return {
    endpoint,
    createQueue: name => createQueue(endpoint, name),
    stop: async () => {
      await app.close();
    },
  };
}

/** Makes the queue on an emulator at that endpoint unless it is there. @returns its URL */
export async function createQueue(endpoint: string, name: string): Promise<string> {
  const client = sqsClient(endpoint);
  try {
    const attributes = name.endsWith('.fifo') ? { Attributes: { FifoQueue: 'true' } } : {};
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: name, ...attributes }));
    if (!QueueUrl) throw new Error(`no URL for the queue ${name}`);
    // fauxqs names the host as AWS does, below localhost, and not every system resolves such names.
    return new URL(new URL(QueueUrl).pathname, endpoint).href;
  } finally {
    client.destroy();
  }
}

async function importFauxqs() {
  try {
    return await import('fauxqs');
  } catch (cause) {
    throw new Error('The package fauxqs (embedded SQS) is not installed: run "npm ci" with development dependencies.', {
      cause,
    });
  }
}

type Stores = NonNullable<NonNullable<Parameters<Awaited<ReturnType<typeof importFauxqs>>['buildApp']>[0]>['stores']>;
type Constructor<T> = new () => T;
interface PersistenceManager {
  load(...stores: [Stores['sqsStore'], Stores['snsStore'], Stores['s3Store']]): void;
  close(): void;
}

/**
 * fauxqs offers its storage on disk only through startFauxqs(), which listens on all addresses. Its parts are put together
 * here from its own files instead; its version is exact, and a test shows when they move.
 */
async function openPersistence(directory: string): Promise<{ stores: Stores; close(): void }> {
  const part = (path: string) => import(new URL(path, import.meta.resolve('fauxqs')).href);
  const { SqsStore } = (await part('./sqs/sqsStore.js')) as { SqsStore: Constructor<Stores['sqsStore']> };
  const { SnsStore } = (await part('./sns/snsStore.js')) as { SnsStore: Constructor<Stores['snsStore']> };
  const { S3Store } = (await part('./s3/s3Store.js')) as { S3Store: Constructor<Stores['s3Store']> };
  const { PersistenceManager } = (await part('./persistence.js')) as {
    PersistenceManager: new (directory: string) => PersistenceManager & NonNullable<Stores['sqsStore']['persistence']>;
  };
  const manager = new PersistenceManager(directory);
  const stores = { sqsStore: new SqsStore(), snsStore: new SnsStore(), s3Store: new S3Store() };
  manager.load(stores.sqsStore, stores.snsStore, stores.s3Store);
  stores.sqsStore.persistence = manager;
  for (const queue of stores.sqsStore.allQueues()) queue.persistence = manager;
  return { stores, close: () => manager.close() };
}

import { Piscina } from 'piscina';
import type { Config } from '../../../config/schema.ts';
import type { JobQueue } from '../../jobs.ts';
import type { SqsOptions } from '../queue.ts';
import type { SqsRefusal, SqsTask } from './queue-thread.ts';

export interface ThreadedQueue extends JobQueue {
  /** Resolves where SQS answers for the queue; rejects with an error that has SQS's code. */
  check(): Promise<void>;
}

/** Megabytes. */
const YOUNG_GENERATION = 2;

/**
 * The SQS queue behind a URL, called from a thread of its own: the AWS SDK takes as much of a processor for a thousand jobs
 * as a fifth of what SMTP takes for their messages, and nobody waits for it.
 */
export function createThreadedSqsQueue(options: SqsOptions): ThreadedQueue {
  const thread = new Piscina({
    filename: new URL('./queue-thread.ts', import.meta.url).href,
    workerData: options,
    // It starts with the first job, and stays: until then a relay is smaller by the SDK.
    minThreads: 0,
    maxThreads: 1,
    idleTimeout: Number.POSITIVE_INFINITY,
    concurrentTasksPerWorker: options.connections,
    // Otherwise a thread without work stands still, and does not hear that SQS has closed its connection: the next call fails.
    atomics: 'disabled',
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION },
  });
  return {
    async send(jobs, timeLimit) {
      const refused: SqsRefusal[] = await thread.run({ jobs, timeLimit } satisfies SqsTask);
      return refused.flatMap(({ index, reason }) => {
        const job = jobs[index];
        return job ? [{ job, reason }] : [];
      });
    },
    async check() {
      const code: string | null = await thread.run(null, { name: 'check' });
      if (code !== null) throw Object.assign(new Error('SQS does not answer for the queue'), { code });
    },
    depth: (): Promise<number | null> => thread.run(null, { name: 'depth' }),
    close() {
      void thread.destroy();
    },
  };
}

/** Without a queue there is nothing to publish to: OpenSend's worker polls the rows, ours the outbox. */
export function createConfiguredQueue(config: Config): ThreadedQueue | null {
  if (config.queueUrl === '') return null;
  return createThreadedSqsQueue({
    queueUrl: config.queueUrl,
    region: config.awsRegion,
    endpoint: config.sqsEndpoint || null,
    connections: config.publishing.concurrency,
    fairQueue: config.fairQueue,
  });
}

import { Piscina } from 'piscina';
import type { JobQueue } from './job-queue.ts';
import type { SqsOptions } from './sqs.ts';
import type { SqsRefusal, SqsTask } from './sqs-thread.ts';

/** Megabytes. */
const YOUNG_GENERATION = 2;

/**
 * The SQS queue behind a URL, called from a thread of its own: the AWS SDK takes as much of a processor for a thousand jobs
 * as a fifth of what SMTP takes for their messages, and nobody waits for it.
 */
export function createThreadedSqsQueue(options: SqsOptions): JobQueue {
  const thread = new Piscina<SqsTask, SqsRefusal[]>({
    filename: new URL('./sqs-thread.ts', import.meta.url).href,
    workerData: options,
    minThreads: 1,
    maxThreads: 1,
    concurrentTasksPerWorker: options.connections,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION },
  });
  return {
    async send(jobs, timeLimit) {
      const refused = await thread.run({ jobs, timeLimit });
      return refused.flatMap(({ index, reason }) => {
        const job = jobs[index];
        return job ? [{ job, reason }] : [];
      });
    },
    close() {
      void thread.destroy();
    },
  };
}

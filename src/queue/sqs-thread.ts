import { workerData } from 'piscina';
import type { SendJob } from './send-job.ts';
import { createSqsQueue, type SqsOptions } from './sqs.ts';

/** One call to SQS on its way into the thread. */
export interface SqsTask {
  readonly jobs: readonly SendJob[];
  /** Milliseconds. */
  readonly timeLimit: number;
}

/** A job that was refused, by its place in the task: objects are copied between threads. */
export interface SqsRefusal {
  readonly index: number;
  readonly reason: string;
}

const queue = createSqsQueue(workerData as SqsOptions);

/** What runs in the worker thread. */
export default async function send({ jobs, timeLimit }: SqsTask): Promise<SqsRefusal[]> {
  const refused = await queue.send(jobs, timeLimit);
  return refused.map(({ job, reason }) => ({ index: jobs.indexOf(job), reason }));
}

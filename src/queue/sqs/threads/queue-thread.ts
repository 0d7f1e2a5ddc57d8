import { workerData } from 'piscina';
import type { OutboxJob } from '../../../message/send-job.ts';
import { createQueueCheck } from '../client.ts';
import { createSqsQueue, type SqsOptions } from '../queue.ts';

/** One call to SQS on its way into the thread. */
export interface SqsTask {
  readonly jobs: readonly OutboxJob[];
  /** Milliseconds. */
  readonly timeLimit: number;
}

/** A job that was refused, by its place in the task: objects are copied between threads. */
export interface SqsRefusal {
  readonly index: number;
  readonly reason: string;
}

const queue = createSqsQueue(workerData as SqsOptions);
const presence = createQueueCheck(workerData as SqsOptions);

/** What runs in the worker thread. */
export default async function send({ jobs, timeLimit }: SqsTask): Promise<SqsRefusal[]> {
  const refused = await queue.send(jobs, timeLimit);
  return refused.map(({ job, reason }) => ({ index: jobs.indexOf(job), reason }));
}

/** The same for a look at how much waits. @returns null where SQS does not say */
export async function depth(): Promise<number | null> {
  return (await queue.depth?.().catch(() => null)) ?? null;
}

/** The same for a look at the queue. @returns null, or the class of the error, which it would lose between threads */
export async function check(): Promise<string | null> {
  try {
    await presence.check();
    return null;
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return code ?? name;
  }
}

import { parentPort, workerData } from 'node:worker_threads';
import { createLogger } from '../observability/log.ts';
import type { JobOutcome, TakenJob } from './job-source.ts';
import type { QueueMetrics } from './metrics.ts';
import { createSqsSource, type SqsSourceOptions } from './sqs-source.ts';

/** What the thread is started with. */
export interface ThreadData {
  readonly options: SqsSourceOptions;
  readonly logLevel: string;
}

/** What the thread says. */
export type FromThread =
  | { readonly kind: 'jobs'; readonly id: number; readonly jobs: readonly TakenJob[] }
  | { readonly kind: 'log'; readonly line: string }
  | {
      readonly [Method in keyof QueueMetrics]: { kind: Method; arguments: Parameters<QueueMetrics[Method]> };
    }[keyof QueueMetrics]
  | { readonly kind: 'stopped' };

/** What the thread is told. */
export type ToThread =
  | { readonly kind: 'answer'; readonly id: number; readonly outcomes: readonly JobOutcome[] }
  | { readonly kind: 'failure'; readonly id: number; readonly reason: string }
  | { readonly kind: 'stop' };

interface Question {
  readonly resolve: (outcomes: readonly JobOutcome[]) => void;
  readonly reject: (error: Error) => void;
}

const { options, logLevel } = workerData as ThreadData;
const port = parentPort as NonNullable<typeof parentPort>;
const questions = new Map<number, Question>();
let lastId = 0;

function say(message: FromThread): void {
  port.postMessage(message);
}

const source = createSqsSource({
  options,
  logger: createLogger({
    level: logLevel,
    format: 'json',
    destination: { write: line => say({ kind: 'log', line }) },
  }),
  metrics: {
    received: (...args) => say({ kind: 'received', arguments: args }),
    handled: (...args) => say({ kind: 'handled', arguments: args }),
  },
  handle: jobs =>
    new Promise((resolve, reject) => {
      lastId += 1;
      questions.set(lastId, { resolve, reject });
      say({ kind: 'jobs', id: lastId, jobs });
    }),
});

port.on('message', (message: ToThread) => {
  if (message.kind === 'stop') {
    void source.stop().then(() => say({ kind: 'stopped' }));
    return;
  }
  const question = questions.get(message.id);
  questions.delete(message.id);
  if (message.kind === 'answer') question?.resolve(message.outcomes);
  else question?.reject(new Error(message.reason));
});

source.start();

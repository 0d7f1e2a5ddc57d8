import { parentPort, workerData } from 'node:worker_threads';
import { createLogger } from '../../../observability/log.ts';
import type { QueueMetrics } from '../../metrics.ts';
import { createSqsSource, type SqsSourceOptions } from '../source.ts';
import { DistantSink, type SinkAnswer, type SinkQuestion } from './distant-sink.ts';

/** What the thread is started with. */
export interface ThreadData {
  readonly options: SqsSourceOptions;
  readonly logLevel: string;
}

/** What the thread says. */
export type FromThread =
  | SinkQuestion
  | { readonly kind: 'log'; readonly line: string }
  | {
      readonly [Method in keyof QueueMetrics]: { kind: Method; arguments: Parameters<QueueMetrics[Method]> };
    }[keyof QueueMetrics]
  | { readonly kind: 'stopped' };

/** What the thread is told. */
export type ToThread = SinkAnswer | { readonly kind: 'stop' };

const { options, logLevel } = workerData as ThreadData;
const port = parentPort as NonNullable<typeof parentPort>;

function say(message: FromThread): void {
  port.postMessage(message);
}

const sink = new DistantSink(say);
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
  sink,
});

port.on('message', (message: ToThread) => {
  if (message.kind === 'answer') sink.hear(message);
  else void source.stop().then(() => say({ kind: 'stopped' }));
});

source.start();

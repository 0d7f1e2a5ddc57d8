import { parentPort, workerData } from 'node:worker_threads';
import { Bell } from '../../../flow/bell.ts';
import type { SendJob } from '../../../message/send-job.ts';
import { createLogger } from '../../../observability/log.ts';
import type { JobOutcome, JobSink } from '../../jobs.ts';
import type { QueueMetrics } from '../../telemetry.ts';
import { createSqsSource, type SqsSourceOptions } from '../source.ts';

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

/** What the sink of a thread asks the thread that sends. */
export type SinkQuestion =
  | {
      readonly kind: 'jobs';
      /** Of the first job; the others count on. */
      readonly first: number;
      readonly jobs: readonly SendJob[];
    }
  | { readonly kind: 'room' };

/** What it is answered, at any time. */
export interface SinkAnswer {
  readonly kind: 'answer';
  /** Jobs by their numbers. */
  readonly outcomes: readonly (readonly [number: number, outcome: JobOutcome])[];
  /** How many more jobs there is room for, besides those up to `seen`. */
  readonly room: number;
  /** The number of the last job that has arrived; -1 for none. */
  readonly seen: number;
}

type Resolve = (outcome: JobOutcome) => void;

/** A sink whose jobs are handled in another thread. What it knows of the room there is a moment old. */
class DistantSink implements JobSink {
  /** A queue cannot be read around anybody. */
  readonly sated: readonly (string | null)[] = [];
  readonly #ask: (question: SinkQuestion) => void;
  readonly #waiting = new Map<number, Resolve>();
  readonly #heard = new Bell();
  #next = 0;
  #known = 0;
  #seen = -1;
  #hasAsked = false;

  constructor(ask: (question: SinkQuestion) => void) {
    this.#ask = ask;
  }

  get room(): number {
    return Math.max(0, this.#known - (this.#next - 1 - this.#seen));
  }

  async whenRoom(signal: AbortSignal): Promise<void> {
    while (this.room === 0 && !signal.aborted) {
      if (!this.#hasAsked) this.#ask({ kind: 'room' });
      this.#hasAsked = true;
      await this.#heard.heard(signal);
    }
  }

  take(jobs: readonly SendJob[]): readonly Promise<JobOutcome>[] {
    if (jobs.length === 0) return [];
    const first = this.#next;
    this.#next += jobs.length;
    this.#ask({ kind: 'jobs', first, jobs });
    return jobs.map((_, index) => new Promise(resolve => this.#waiting.set(first + index, resolve)));
  }

  hear({ outcomes, room, seen }: SinkAnswer): void {
    this.#known = room;
    this.#seen = seen;
    if (room > 0) this.#hasAsked = false;
    for (const [number, outcome] of outcomes) {
      this.#waiting.get(number)?.(outcome);
      this.#waiting.delete(number);
    }
    this.#heard.ring();
  }
}

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

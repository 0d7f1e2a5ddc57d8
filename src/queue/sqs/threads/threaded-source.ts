import { Worker } from 'node:worker_threads';
import { repeat } from '../../../flow/loop.ts';
import type { Logger } from '../../../observability/log.ts';
import type { JobOutcome, JobSink, JobSource } from '../../jobs.ts';
import type { SqsSourceDependencies } from '../source.ts';
import type { FromThread, SinkAnswer, SinkQuestion, ThreadData, ToThread } from './source-thread.ts';

/** Megabytes. */
const YOUNG_GENERATION = 2;
/** Milliseconds before a thread that failed is replaced. */
const RESTART_PAUSE = 1_000;

/**
 * The same as `createSqsSource`, in a thread of its own but for the sink: for a thousand jobs the AWS SDK takes nearly a third
 * of a second of a processor, in the thread that sends.
 */
export function createThreadedSqsSource(dependencies: SqsSourceDependencies): JobSource {
  return new ThreadedSource(dependencies);
}

class ThreadedSource implements JobSource {
  readonly #dependencies: SqsSourceDependencies;
  readonly #stopped = new AbortController();
  #thread: Worker | undefined;
  /** What the thread knows of the sink. */
  #counterpart: DistantSource | undefined;
  #running: Promise<void> = Promise.resolve();

  constructor(dependencies: SqsSourceDependencies) {
    this.#dependencies = dependencies;
  }

  start(): void {
    const { signal } = this.#stopped;
    this.#running = repeat(() => this.#runThread(), { first: 0, pause: RESTART_PAUSE, signal });
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#tell({ kind: 'stop' });
    await this.#running;
  }

  /** Resolves when the thread has ended. What it had taken then comes again. */
  #runThread(): Promise<void> {
    const { options, sink, logger } = this.#dependencies;
    const thread = new Worker(new URL('./source-thread.ts', import.meta.url), {
      workerData: { options, logLevel: logger.level } satisfies ThreadData,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION },
    });
    this.#thread = thread;
    this.#counterpart = new DistantSource({
      sink,
      stopped: this.#stopped.signal,
      tell: answer => thread.postMessage(answer),
    });
    thread.on('message', (message: FromThread) => this.#hear(message));
    thread.on('error', error => logger.error({ err: error }, 'thread that takes jobs has failed; another is started'));
    return new Promise(resolve => thread.once('exit', () => resolve()));
  }

  #tell(message: ToThread): void {
    this.#thread?.postMessage(message);
  }

  #hear(message: FromThread): void {
    const { metrics, logger } = this.#dependencies;
    switch (message.kind) {
      case 'jobs':
      case 'room':
        this.#counterpart?.hear(message);
        break;
      case 'log':
        relog(logger, message.line);
        break;
      case 'received':
        metrics.received(...message.arguments);
        break;
      case 'handled':
        metrics.handled(...message.arguments);
        break;
      case 'stopped':
        void this.#thread?.terminate();
    }
  }
}

/** Says a line of the thread's log as one of ours, at its level. */
function relog(logger: Logger, line: string): void {
  const { level, time: _, msg, ...facts } = JSON.parse(line);
  const name = logger.levels.labels[level] as 'debug' | 'info' | 'warn' | 'error';
  logger[name](facts, msg);
}

interface DistantSourceOptions {
  readonly sink: JobSink;
  /** No more room is waited for. */
  readonly stopped: AbortSignal;
  /** Tells the thread, if it still is there. */
  readonly tell: (answer: SinkAnswer) => void;
}

/** What a source in another thread has here: it brings its jobs to the sink, and tells it of the room. */
class DistantSource {
  readonly #options: DistantSourceOptions;
  #seen = -1;
  #outcomes: [number, JobOutcome][] = [];
  #willTell = false;
  /** The thread waits for room. */
  #isRoomWanted = false;
  #isWaiting = false;

  constructor(options: DistantSourceOptions) {
    this.#options = options;
  }

  hear(question: SinkQuestion): void {
    if (question.kind === 'room') {
      this.#isRoomWanted = true;
      void this.#tellOfRoom();
      return;
    }
    const { first, jobs } = question;
    this.#seen = first + jobs.length - 1;
    const outcomes = this.#options.sink.take(jobs);
    for (const [index, outcome] of outcomes.entries()) void outcome.then(what => this.#note(first + index, what));
    this.#tellSoon();
  }

  async #tellOfRoom(): Promise<void> {
    const { sink, stopped } = this.#options;
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    while (this.#isRoomWanted && !stopped.aborted) {
      await sink.whenRoom(stopped);
      this.#tell();
    }
    this.#isWaiting = false;
  }

  #note(number: number, outcome: JobOutcome): void {
    this.#outcomes.push([number, outcome]);
    this.#tellSoon();
  }

  /** What comes together is told together. */
  #tellSoon(): void {
    if (this.#willTell) return;
    this.#willTell = true;
    setImmediate(() => {
      this.#willTell = false;
      this.#tell();
    });
  }

  #tell(): void {
    const { sink, tell } = this.#options;
    const { room } = sink;
    if (room > 0) this.#isRoomWanted = false;
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    tell({ kind: 'answer', outcomes, room, seen: this.#seen });
  }
}

import type { JobOutcome, JobSink } from '../../job-source.ts';
import type { SinkAnswer, SinkQuestion } from './distant-sink.ts';

export interface DistantSourceOptions {
  readonly sink: JobSink;
  /** No more room is waited for. */
  readonly stopped: AbortSignal;
  /** Tells the thread, if it still is there. */
  readonly tell: (answer: SinkAnswer) => void;
}

/** What a source in another thread has here: it brings its jobs to the sink, and tells it of the room. */
export class DistantSource {
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

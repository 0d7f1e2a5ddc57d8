import { Bell } from '../../../flow/bell.ts';
import type { JobOutcome, JobSink, TakenJob } from '../../job-source.ts';

/** What the sink of a thread asks the thread that sends. */
export type SinkQuestion =
  | {
      readonly kind: 'jobs' /** Of the first job; the others count on. */;
      readonly first: number;
      readonly jobs: readonly TakenJob[];
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
export class DistantSink implements JobSink {
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

  take(jobs: readonly TakenJob[]): readonly Promise<JobOutcome>[] {
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

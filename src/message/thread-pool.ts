import pLimit, { type LimitFunction } from 'p-limit';
import { Piscina, queueOptionsSymbol } from 'piscina';
import { NICENESS } from '../platform/helper-threads.ts';
import { untilAborted } from '../platform/until-aborted.ts';
import { Refusal } from './refusal.ts';

export interface ThreadPoolOptions {
  /** The module that runs in the threads; its default export is given a task. */
  readonly file: URL;
  readonly threads: number;
  /** How long a thread may work on one task, in milliseconds; waiting for a thread, or for one to start, does not count. */
  readonly timeout: number;
}

/** A task, and the memory that moves along with it. */
export interface Moved<T> {
  readonly task: T;
  readonly transferList: ArrayBuffer[];
}

/** Megabytes. */
const THREAD_YOUNG_GENERATION = 4;

/** What piscina shows of a task to whom it asks for a thread, and does not send there. */
interface Begins {
  readonly begins: () => void;
}

type Balancer = NonNullable<NonNullable<ConstructorParameters<typeof Piscina>[0]>['loadBalancer']>;

/** Gives a task to a free thread, and tells it so. piscina asks again when a thread has started. */
const toFreeThread: Balancer = (task, threads) => {
  const free = threads.find(({ currentUsage }) => currentUsage === 0);
  if (free) (task[queueOptionsSymbol] as Begins).begins();
  return free ?? null;
};

/** Worker threads for messages that would hold up the others. They start with the first of them. */
export class ThreadPool<T, A> {
  readonly #timeout: number;
  readonly #threads: Piscina;
  readonly #turn: LimitFunction;

  constructor({ file, threads, timeout }: ThreadPoolOptions) {
    this.#timeout = timeout;
    // piscina's own queue counts waiting as working, and is not woken when a thread is ended for its time.
    this.#turn = pLimit(threads);
    this.#threads = new Piscina({
      filename: file.href,
      minThreads: 0,
      maxThreads: threads,
      // piscina does nothing where it cannot.
      niceIncrement: NICENESS,
      loadBalancer: toFreeThread,
      // A thread's young generation otherwise grows to 48 MB, for what is mostly one Buffer.
      resourceLimits: { maxYoungGenerationSizeMb: THREAD_YOUNG_GENERATION },
      // So a trickle of messages does not start a thread for each.
      idleTimeout: 60_000,
    });
  }

  /**
   * Runs a task when a thread is free.
   *
   * @param make is called then: until that time the task's memory stays where it is
   * @param signal calls it off: a task that waits is let go of, and a thread that works on it is ended
   * @throws Refusal 451 where it takes too long; the signal's reason
   */
  async run(make: () => Moved<T>, signal: AbortSignal): Promise<A> {
    // A task that is called off keeps its place in the queue, which must not keep the message in memory.
    const waiting: { make: (() => Moved<T>) | null } = { make };
    const take = async (): Promise<A> => {
      const { make: taken } = waiting;
      waiting.make = null;
      if (taken === null) throw signal.reason;
      return this.#inThread(taken(), signal);
    };
    const answer = this.#turn(take);
    try {
      return await untilAborted(signal, answer);
    } catch (error) {
      // A thread that is being ended still has its share of memory.
      if (waiting.make === null) await Promise.allSettled([answer]);
      waiting.make = null;
      throw error;
    }
  }

  async #inThread({ task, transferList }: Moved<T>, signal: AbortSignal): Promise<A> {
    const over = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    // A thread that starts, in place of one that was ended, takes long where the machine is busy: none of the task's time.
    const begins = (): void => {
      timer = setTimeout(() => over.abort(), this.#timeout);
    };
    try {
      return await this.#threads.run(
        { ...task, [queueOptionsSymbol]: { begins } },
        { transferList, signal: AbortSignal.any([signal, over.signal]) },
      );
    } catch (cause) {
      signal.throwIfAborted();
      if ((cause as Error).name !== 'AbortError') throw cause;
      const text = 'The message took too long to read: try again, or simplify it';
      throw new Refusal({ code: 451, enhancedCode: '4.3.0', text, rule: 'parse_timeout', cause });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the threads. What they work on fails. */
  async close(): Promise<void> {
    await this.#threads.destroy();
  }
}

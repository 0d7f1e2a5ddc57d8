import { repeat, spread } from '../flow/loop.ts';
import { Pauses } from '../flow/retry.ts';
import type { OutboxJob } from '../message/send-job.ts';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { NO_TRACING, type Tracer } from '../observability/tracing.ts';
import { type JobQueue, MAX_BATCH, type RefusedJob } from './jobs.ts';
import { type LeasedJob, OutboxHelpings, PendingJobs, QueuePace, type SweptOutbox } from './pace.ts';
import { beginPublishSpans, createPublisherMetrics, endPublishSpans, type PublisherMetrics } from './telemetry.ts';

/** The outbox as the publisher needs it (`store/messages/outbox.ts`). */
export interface JobOutbox extends SweptOutbox {
  remove(jobs: readonly OutboxJob[]): Promise<void>;
  postpone(failures: readonly { emailId: string; try: number; reason: string }[]): Promise<void>;
}

export interface PublisherOptions {
  /** Calls to the queue that may be under way at once. */
  readonly concurrency: number;
  /** Milliseconds between two looks for entries that nobody publishes. */
  readonly sweepInterval: number;
  /** Milliseconds for which an entry is left to the one who wrote or leased it. */
  readonly leaseTime: number;
  /** The queue's name, for traces. */
  readonly queueName?: string;
}

export interface PublisherDependencies {
  readonly queue: JobQueue;
  readonly outbox: JobOutbox;
  /** Whether somebody takes jobs: then the queue holds little, and the outbox the rest, where owners have their turn. Left out: all is published at once. */
  readonly attended?: (() => Promise<boolean>) | undefined;
  readonly logger: Logger;
  readonly registry: Registry;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  /** Is told of jobs that the queue has. */
  readonly onPublished?: ((jobs: readonly OutboxJob[]) => void) | undefined;
  readonly options: PublisherOptions;
}

/**
 * Milliseconds between the beginnings of two calls, unless ten jobs are there: SQS bills each call, and each takes the processor from
 * messages. A job that comes after a quiet moment waits for nothing.
 */
const INTERVAL = 15;
/** Beyond this the outbox alone remembers jobs; memory stays bounded through an outage. */
const MAX_PENDING = 10_000;
/** Milliseconds between two sweeps while the queue is all that keeps more from it. */
const SWEEP_PAUSE = 200;
/** A call that could outlast its jobs' lease is not begun: another process would publish them a second time. */
const MIN_CALL = 1_000;
const PAUSES = { first: 250, longest: 5_000 };

/**
 * Publishes jobs after their commit, and in the background whatever is left in the outbox by an outage or a killed
 * process. A job leaves the outbox only when the queue has confirmed it, so it is published at least once.
 */
export class Publisher {
  readonly #queue: JobQueue;
  readonly #outbox: JobOutbox;
  readonly #logger: Logger;
  readonly #options: PublisherOptions;
  readonly #metrics: PublisherMetrics;
  readonly #tracer: Tracer;
  readonly #onPublished: (jobs: readonly OutboxJob[]) => void;
  readonly #stopped = new AbortController();
  readonly #calls = new Set<Promise<unknown>>();
  /** What came of calls that have ended is written down. None of them rejects. */
  readonly #settling = new Set<Promise<void>>();
  readonly #pending = new PendingJobs(MAX_PENDING);
  /** null: the queue takes whatever there is. */
  readonly #pace: QueuePace | null;
  readonly #helpings: OutboxHelpings;
  #looking: Promise<void> = Promise.resolve();
  /** Published, but still in the outbox: the database could not be reached. */
  #unremoved: readonly OutboxJob[] = [];
  #timer: NodeJS.Timeout | undefined;
  #lastCall = Number.NEGATIVE_INFINITY;
  #pausedUntil = 0;
  readonly #pauses = new Pauses(PAUSES);
  #sweeping: Promise<void> = Promise.resolve();

  constructor(dependencies: PublisherDependencies) {
    const { queue, outbox, attended, logger, registry, tracer = NO_TRACING, options } = dependencies;
    this.#queue = queue;
    this.#outbox = outbox;
    this.#logger = logger;
    this.#options = options;
    this.#tracer = tracer;
    this.#onPublished = dependencies.onPublished ?? (() => {});
    const depth = queue.depth?.bind(queue);
    this.#pace = depth && attended ? new QueuePace({ depth, attended }) : null;
    this.#helpings = new OutboxHelpings({ outbox, pace: this.#pace, leaseTime: options.leaseTime });
    this.#metrics = createPublisherMetrics(registry, {
      pending: () => this.#pending.size,
      depth: () => this.#pace?.depth ?? 0,
      isFull: () => this.#pace !== null && this.#pace.room < 1,
    });
  }

  /** Begins to sweep the outbox. */
  start(): void {
    const { signal } = this.#stopped;
    const pause = (goesOn = false) => this.#pauseAfterSweep(goesOn);
    this.#sweeping = repeat(() => this.#sweep(), { first: 0, pause, signal });
    if (this.#pace) this.#looking = this.#pace.lookForever(() => this.#look(), signal);
  }

  /** Publishes a job whose outbox entry has just been committed with a lease. Never fails and never waits. */
  publish(job: OutboxJob): void {
    if (this.#isPaused()) return;
    this.#pending.add({ job, leasedUntil: performance.now() + this.#options.leaseTime });
    if (this.#maySend(job.userId)) this.#pump();
  }

  /** Publishes what is pending and ends. What does not get through stays in the outbox for others. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all([this.#sweeping, this.#looking]);
    if (!this.#isPaused()) this.#flush();
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
    await this.#settled();
    await this.#removeLeftovers();
    this.#stopTimer();
    this.#queue.close();
  }

  #isPaused(): boolean {
    return performance.now() < this.#pausedUntil;
  }

  #maySend(owner: string | null): boolean {
    return this.#pace === null || this.#pace.room >= 1 || this.#pace.mayAlways(owner);
  }

  /** There may be room again. */
  #look(): void {
    this.#pending.forgetBefore(performance.now() + this.#shortestCall);
    if (!this.#isPaused()) this.#flush();
  }

  #pump(): void {
    if (this.#stopped.signal.aborted) this.#flush();
    while (this.#pending.size >= MAX_BATCH && this.#sendNext());
    if (this.#pending.size === 0) return;
    // Those whose messages share a commit come in one turn of the event loop, which ends first.
    const wait = Math.max(0, this.#lastCall + INTERVAL - performance.now());
    this.#timer ??= setTimeout(() => this.#flush(), wait);
  }

  #flush(): void {
    this.#stopTimer();
    while (this.#pending.size > 0 && this.#sendNext());
  }

  /** @returns false where nothing may be sent just now */
  #sendNext(): boolean {
    if (this.#calls.size >= this.#options.concurrency) return false;
    const batch = this.#pending.take(MAX_BATCH, owner => {
      const may = this.#maySend(owner);
      if (may) this.#pace?.goes(owner);
      return may;
    });
    if (batch.length === 0) return false;
    this.#stopTimer();
    this.#lastCall = performance.now();
    const call = this.#send(batch).finally(() => {
      this.#calls.delete(call);
      this.#pump();
    });
    this.#calls.add(call);
    return true;
  }

  #stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Sends those whose lease lasts long enough. Never rejects. @returns whether the queue took the call. */
  async #send(leased: readonly LeasedJob[]): Promise<boolean> {
    const now = performance.now();
    const batch = leased.filter(({ leasedUntil }) => leasedUntil - now >= this.#shortestCall);
    if (batch.length === 0) return true;
    const jobs = batch.map(({ job }) => job);
    const spans = beginPublishSpans(this.#tracer, this.#options.queueName ?? 'jobs', jobs);
    let refused: readonly RefusedJob[];
    try {
      refused = await this.#queue.send(jobs, Math.min(...batch.map(({ leasedUntil }) => leasedUntil)) - now);
    } catch (error) {
      this.#metrics.published('failed', jobs.length);
      endPublishSpans(spans, error);
      this.#backOff(error);
      return false;
    } finally {
      this.#metrics.called(performance.now() - now);
    }
    endPublishSpans(spans);
    this.#pauses.reset();
    this.#metrics.reachable(true);
    const settling = this.#settle(jobs, refused).finally(() => this.#settling.delete(settling));
    this.#settling.add(settling);
    return true;
  }

  async #settled(): Promise<void> {
    await Promise.all(this.#settling);
  }

  get #shortestCall(): number {
    return Math.min(MIN_CALL, this.#options.leaseTime / 2);
  }

  /** Beside the calls that follow: the outbox gathers what is removed for longer than a call takes. Never rejects. */
  async #settle(jobs: readonly OutboxJob[], refused: readonly RefusedJob[]): Promise<void> {
    const refusedJobs = new Set(refused.map(({ job }) => job));
    this.#metrics.published('published', jobs.length - refusedJobs.size);
    this.#metrics.published('refused', refusedJobs.size);
    const published = jobs.filter(job => !refusedJobs.has(job));
    this.#onPublished(published);
    await this.#remove(published);
    if (refused.length === 0) return;
    this.#logger.warn({ reason: refused[0]?.reason, jobs: refused.length }, 'queue refused jobs; they are tried again');
    const failures = refused.map(({ job, reason }) => ({ emailId: job.emailId, try: job.try, reason }));
    await this.#outbox
      .postpone(failures)
      .catch(error => this.#logger.warn({ err: error }, 'refused jobs not postponed; their leases end by themselves'));
  }

  /** Never rejects. @returns whether the outbox has forgotten the jobs */
  async #remove(jobs: readonly OutboxJob[]): Promise<boolean> {
    try {
      await this.#outbox.remove(jobs);
      return true;
    } catch (error) {
      // The next sweep removes them before it looks for work. Should this process end first, they are published once
      // more: workers claim a message before they send it.
      this.#unremoved = [...this.#unremoved, ...jobs].slice(0, MAX_PENDING);
      this.#logger.warn({ err: error, jobs: jobs.length }, 'published jobs not removed from the outbox yet');
      return false;
    }
  }

  async #removeLeftovers(): Promise<boolean> {
    const jobs = this.#unremoved;
    this.#unremoved = [];
    return jobs.length === 0 || this.#remove(jobs);
  }

  #backOff(error: unknown): void {
    // Their entries are in the outbox; the sweep takes them when the lease ends.
    this.#pending.clear();
    this.#metrics.reachable(false);
    // Calls that were under way together fail together, which is one outage.
    if (this.#isPaused()) return;
    const pauseMs = this.#pauses.next();
    this.#pausedUntil = performance.now() + pauseMs;
    this.#logger.warn({ err: error, pauseMs }, 'queue unreachable; jobs stay in the outbox');
  }

  #pauseAfterSweep(goesOn: boolean): number {
    if (goesOn) return 0;
    const { sweepInterval } = this.#options;
    const pause = this.#helpings.isHeldBack ? SWEEP_PAUSE : spread(sweepInterval);
    return Math.max(pause, this.#pausedUntil - performance.now());
  }

  /** Never rejects. @returns whether there is more to publish at once. */
  async #sweep(): Promise<boolean> {
    if (!(await this.#removeLeftovers()) || this.#isPaused()) return false;
    const wasHeldBack = this.#helpings.isHeldBack;
    let leased: LeasedJob[];
    try {
      leased = await this.#helpings.take();
    } catch (error) {
      this.#logger.warn({ err: error }, 'outbox could not be read');
      return false;
    }
    if (leased.length === 0) return false;
    const taken = await this.#sendAll(leased);
    await this.#settled();
    const level = wasHeldBack ? 'debug' : 'info';
    if (taken) this.#logger[level]({ jobs: leased.length }, 'published jobs that were left in the outbox');
    return taken && this.#helpings.goesOn;
  }

  /** Sends in as many calls at once as allowed; stops at the first that fails. */
  async #sendAll(leased: readonly LeasedJob[]): Promise<boolean> {
    const batches = chunk(leased, MAX_BATCH);
    let reachable = true;
    const sender = async (): Promise<void> => {
      for (let batch = batches.shift(); batch && reachable; batch = batches.shift())
        reachable &&= await this.#send(batch);
    };
    await Promise.all(Array.from({ length: this.#options.concurrency }, sender));
    return reachable;
  }
}

function chunk<T>(items: readonly T[], size: number): T[][] {
  const chunks: T[][] = [];
  for (let start = 0; start < items.length; start += size) chunks.push(items.slice(start, start + size));
  return chunks;
}

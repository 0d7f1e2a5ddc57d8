import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from '../observability/log.ts';
import type { Registry } from '../observability/metrics.ts';
import { NO_TRACING, type Tracer } from '../observability/tracing.ts';
import { type JobQueue, MAX_BATCH, type RefusedJob } from './job-queue.ts';
import { beginPublishSpans, endPublishSpans } from './publish-spans.ts';
import { createPublisherMetrics, type PublisherMetrics } from './publisher-metrics.ts';
import type { SendJob } from './send-job.ts';

/** The outbox as the publisher needs it (`store/outbox.ts`). */
export interface JobOutbox {
  leaseDue(limit: number, leaseMs: number): Promise<SendJob[]>;
  remove(jobs: readonly SendJob[]): Promise<void>;
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
  readonly logger: Logger;
  readonly registry: Registry;
  /** Left out, nothing is traced. */
  readonly tracer?: Tracer;
  readonly options: PublisherOptions;
}

/** A job that is ours to publish for a while. */
interface LeasedJob {
  readonly job: SendJob;
  /** When others may take it, on the clock of `performance.now()`. */
  readonly leasedUntil: number;
}

/** A batch that is not full waits this long for company: a call costs much, and nobody waits for it. */
const LINGER = 15;
/** Beyond this the outbox alone remembers jobs; memory stays bounded through an outage. */
const MAX_PENDING = 10_000;
const SWEEP_LIMIT = 500;
/** A call that could outlast its jobs' lease is not begun: another process would publish them a second time. */
const MIN_CALL = 1_000;
const MIN_PAUSE = 250;
const MAX_PAUSE = 5_000;

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
  readonly #stopped = new AbortController();
  readonly #calls = new Set<Promise<unknown>>();
  #pending: LeasedJob[] = [];
  /** Published, but still in the outbox: the database could not be reached. */
  #unremoved: readonly SendJob[] = [];
  #linger: NodeJS.Timeout | undefined;
  #pausedUntil = 0;
  #pause = MIN_PAUSE;
  #sweeping: Promise<void> = Promise.resolve();

  constructor({ queue, outbox, logger, registry, tracer = NO_TRACING, options }: PublisherDependencies) {
    this.#queue = queue;
    this.#outbox = outbox;
    this.#logger = logger;
    this.#options = options;
    this.#tracer = tracer;
    this.#metrics = createPublisherMetrics(registry, () => this.#pending.length);
  }

  /** Begins to sweep the outbox. */
  start(): void {
    this.#sweeping = this.#sweepForever();
  }

  /** Publishes a job whose outbox entry has just been committed with a lease. Never fails and never waits. */
  publish(job: SendJob): void {
    if (this.#pending.length >= MAX_PENDING || this.#isPaused()) return;
    this.#pending.push({ job, leasedUntil: performance.now() + this.#options.leaseTime });
    this.#pump();
  }

  /** Publishes what is pending and ends. What does not get through stays in the outbox for others. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#sweeping;
    while ((this.#pending.length > 0 || this.#calls.size > 0) && !this.#isPaused()) {
      this.#flush();
      await Promise.allSettled(this.#calls);
    }
    await Promise.allSettled(this.#calls);
    await this.#removeLeftovers();
    clearTimeout(this.#linger);
    this.#queue.close();
  }

  #isPaused(): boolean {
    return performance.now() < this.#pausedUntil;
  }

  #pump(): void {
    while (this.#pending.length >= MAX_BATCH && this.#calls.size < this.#options.concurrency) this.#sendNext();
    if (this.#pending.length > 0) this.#linger ??= setTimeout(() => this.#flush(), LINGER);
  }

  #flush(): void {
    clearTimeout(this.#linger);
    this.#linger = undefined;
    while (this.#pending.length > 0 && this.#calls.size < this.#options.concurrency) this.#sendNext();
  }

  #sendNext(): void {
    const call = this.#send(this.#pending.splice(0, MAX_BATCH)).finally(() => {
      this.#calls.delete(call);
      this.#pump();
    });
    this.#calls.add(call);
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
    this.#pause = MIN_PAUSE;
    this.#metrics.reachable(true);
    await this.#settle(jobs, refused);
    return true;
  }

  get #shortestCall(): number {
    return Math.min(MIN_CALL, this.#options.leaseTime / 2);
  }

  async #settle(jobs: readonly SendJob[], refused: readonly RefusedJob[]): Promise<void> {
    const refusedJobs = new Set(refused.map(({ job }) => job));
    this.#metrics.published('published', jobs.length - refusedJobs.size);
    this.#metrics.published('refused', refusedJobs.size);
    await this.#remove(jobs.filter(job => !refusedJobs.has(job)));
    if (refused.length === 0) return;
    this.#logger.warn({ reason: refused[0]?.reason, jobs: refused.length }, 'queue refused jobs; they are tried again');
    const failures = refused.map(({ job, reason }) => ({ emailId: job.emailId, try: job.try, reason }));
    await this.#outbox
      .postpone(failures)
      .catch(error => this.#logger.warn({ err: error }, 'refused jobs not postponed; their leases end by themselves'));
  }

  /** Never rejects. @returns whether the outbox has forgotten the jobs */
  async #remove(jobs: readonly SendJob[]): Promise<boolean> {
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
    this.#pending = [];
    this.#metrics.reachable(false);
    // Calls that were under way together fail together, which is one outage.
    if (this.#isPaused()) return;
    this.#pausedUntil = performance.now() + this.#pause;
    this.#logger.warn({ err: error, pauseMs: this.#pause }, 'queue unreachable; jobs stay in the outbox');
    this.#pause = Math.min(this.#pause * 2, MAX_PAUSE);
  }

  async #sweepForever(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const more = await this.#sweep();
      if (more) continue;
      // Pods that were started together shall not sweep together.
      const pause = Math.max(
        this.#options.sweepInterval * (0.5 + Math.random() / 2),
        this.#pausedUntil - performance.now(),
      );
      await delay(pause, undefined, { signal: this.#stopped.signal }).catch(() => {});
    }
  }

  /** Never rejects. @returns whether there is more to publish at once. */
  async #sweep(): Promise<boolean> {
    if (!(await this.#removeLeftovers()) || this.#isPaused()) return false;
    const leasedUntil = performance.now() + this.#options.leaseTime;
    let jobs: SendJob[];
    try {
      jobs = await this.#outbox.leaseDue(SWEEP_LIMIT, this.#options.leaseTime);
    } catch (error) {
      this.#logger.warn({ err: error }, 'outbox could not be read');
      return false;
    }
    if (jobs.length === 0) return false;
    const taken = await this.#sendAll(jobs.map(job => ({ job, leasedUntil })));
    if (taken) this.#logger.info({ jobs: jobs.length }, 'published jobs that were left in the outbox');
    return taken && jobs.length === SWEEP_LIMIT;
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

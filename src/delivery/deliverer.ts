import { Batcher } from '../flow/batcher.ts';
import type { SendJob } from '../message/send-job.ts';
import type { TraceContext } from '../observability/tracing.ts';
import { untilAnswered } from '../postgres/until-answered.ts';
import type { JobOutcome, JobSink } from '../queue/jobs.ts';
import type { Claim, Claims } from '../store/delivery/claims.ts';
import type { ProviderError, Standstill } from '../store/delivery/settle.ts';
import type { JobFacts, JobFactsReader, PutOffs } from '../store/delivery/unclaimed.ts';
import { ClaimUpkeep, type ClaimUpkeepOptions } from './claim-upkeep.ts';
import { ClaimedWork, type ClaimedWorkDependencies, isAlone, storedTrace, type WorkOn } from './claimed-work.ts';
import type { CircuitMetrics } from './metrics.ts';
import { type Clock, type Permit, Scheduler, type SchedulerOptions } from './schedule/scheduler.ts';
import { type Place, WaitingRoom } from './schedule/waiting-room.ts';
import type { Ways } from './schedule/ways.ts';
import { Postponer, type WaitingMessage, waitingBy } from './waiting-message.ts';

export interface DelivererOptions extends SchedulerOptions, ClaimUpkeepOptions {
  /** Jobs that wait here, at most. */
  readonly places: number;
  /** Milliseconds from the acceptance on, after which a message whose way out is shut is given up. */
  readonly maxAge: number;
}

export interface DelivererDependencies extends ClaimedWorkDependencies {
  readonly claims: ClaimedWorkDependencies['claims'] & Pick<Claims, 'take' | 'takeOverAlone'>;
  readonly facts: Pick<JobFactsReader, 'find' | 'findExpired' | 'isForeign'>;
  readonly putOffs: Pick<PutOffs, 'add'>;
  readonly ways: Pick<Ways, 'wayOf'> & Partial<Pick<Ways, 'shut'>>;
  /** Gives a message up whose way out is shut. */
  readonly giveUp: (...args: [...Parameters<WorkOn>, error: ProviderError]) => Promise<void>;
  readonly standstill: Pick<Standstill, 'isOn' | 'passed' | 'begin'>;
  readonly circuitMetrics: Pick<CircuitMetrics, 'putOff'>;
  /** Milliseconds since 1970 by the clock that all workers share; this machine's unless given. */
  readonly now?: () => number;
  readonly options: DelivererOptions;
}

/** Milliseconds, at least and at most, after which a job comes again whose owner has too many here. */
const CROWDED = { least: 2_000, most: 10_000 };
const CLAIMS_AT_ONCE = 64;

/**
 * Takes jobs, finds out what each message needs, and lets it wait for its turn; only then it is claimed. Renews the claims in
 * hand, and takes over those of workers that are heard of no more.
 */
export class Deliverer implements JobSink {
  readonly #dependencies: DelivererDependencies;
  readonly #stopping = new AbortController();
  readonly #aborted = new AbortController();
  readonly #jobs = new Map<string, Promise<JobOutcome>>();
  readonly #waiting: WaitingRoom;
  readonly #scheduler: Scheduler<WaitingMessage>;
  readonly #work: ClaimedWork;
  readonly #upkeep: ClaimUpkeep;
  readonly #claims: Batcher<string, Claim | null>;
  readonly #beginning = new Set<Promise<void>>();
  readonly #postponer: Postponer;

  constructor(dependencies: DelivererDependencies) {
    this.#dependencies = dependencies;
    const { options } = dependencies;
    const signals = { stopping: this.#stopping.signal, aborted: this.#aborted.signal };
    this.#waiting = new WaitingRoom(options.places);
    this.#work = new ClaimedWork(dependencies, signals);
    this.#postponer = new Postponer({
      ...dependencies,
      maxAge: options.maxAge,
      giveUp: (message, error) => this.#giveUp(message, error),
    });
    this.#scheduler = new Scheduler<WaitingMessage>({
      options,
      clock: SYSTEM_CLOCK,
      start: (item, permit) => this.#begin(item, permit),
      putOff: (items, milliseconds) => this.#postponer.putOff(items, milliseconds, true),
      mayBegin: () => !dependencies.standstill.isOn && !this.#stopping.signal.aborted,
    });
    this.#upkeep = new ClaimUpkeep({
      ...dependencies,
      work: this.#work,
      known: () => [...this.#jobs.keys()],
      add: found => this.#addExpired(found),
      tryAlone: claim => this.#tryAlone(claim, storedTrace(claim)),
      signals,
    });
    this.#claims = new Batcher({
      run: ids => this.#claimAll(ids),
      maxItems: CLAIMS_AT_ONCE,
      concurrency: 2,
      interval: 3,
    });
  }

  get room(): number {
    return this.#dependencies.standstill.isOn || this.#stopping.signal.aborted ? 0 : this.#waiting.room;
  }

  get sated(): readonly (string | null)[] {
    return this.#waiting.sated;
  }

  async whenRoom(signal: AbortSignal): Promise<void> {
    while (this.room === 0 && !signal.aborted) {
      await this.#dependencies.standstill.passed(signal);
      await this.#waiting.whenRoom(signal);
      if (this.#stopping.signal.aborted) return;
    }
  }

  readonly take = (jobs: readonly SendJob[]): readonly Promise<JobOutcome>[] =>
    jobs.map(job => {
      const known = this.#jobs.get(job.emailId);
      return known ? this.#after(known, job) : this.#add(job);
    });

  /** Something may begin that could not before. */
  readonly pump = (): void => this.#scheduler.pump();

  /** Begins to renew leases and to look for claims that have run out. */
  start(): void {
    this.#upkeep.start();
  }

  /**
   * Begins no further message, waits for those under way, and gives back what was not begun.
   *
   * @param timeLimit milliseconds after which calls under way are given up, their outcome unknown
   */
  async stop(timeLimit: number): Promise<void> {
    this.#stopping.abort();
    this.#waiting.close(true);
    for (const { resolve } of this.#scheduler.clear()) resolve('left');
    const timer = setTimeout(() => this.#aborted.abort(), timeLimit);
    await this.#work.idle();
    clearTimeout(timer);
    this.#aborted.abort();
    await this.#upkeep.ended();
    // What was being claimed at that moment is given back.
    await Promise.all(this.#beginning);
    await this.#work.idle();
  }

  /** For a job whose message is here already: it was redelivered, or it is that of the next try, and is looked at when this one is over. */
  async #after(known: Promise<JobOutcome>, job: SendJob): Promise<JobOutcome> {
    const outcome = await known;
    if (outcome !== 'done') return outcome;
    if (this.#stopping.signal.aborted) return 'left';
    return this.take([job])[0] ?? 'left';
  }

  #add(job: SendJob): Promise<JobOutcome> {
    const { promise, resolve } = Promise.withResolvers<JobOutcome>();
    this.#jobs.set(job.emailId, promise);
    const place = this.#waiting.enter(job.userId);
    void promise.then(() => {
      place.leave();
      this.#jobs.delete(job.emailId);
    });
    this.#admit(job, place, resolve).catch(error => {
      if (!this.#stopping.signal.aborted)
        this.#dependencies.logger.error({ err: error, emailId: job.emailId }, 'job left');
      resolve('left');
    });
    return promise;
  }

  /** Finds out what the message of a job needs, and lets it wait for that. @throws what keeps that from being known */
  async #admit(job: SendJob, place: Place, resolve: (outcome: JobOutcome) => void): Promise<void> {
    const { facts, ways, standstill } = this.#dependencies;
    const { emailId, correlationId, traceparent } = job;
    await standstill.passed(this.#stopping.signal);
    const found = await this.#patiently(async () => {
      const known = await facts.find(emailId);
      return known && { facts: known, way: await ways.wayOf(known) };
    });
    if (found === null) return resolve(await this.#outcomeWithout(emailId));
    if (this.#stopping.signal.aborted) return resolve('left');
    const { userId } = found.facts;
    // A queue may not say whose a message is, and one that does may be wrong.
    place.belongsTo(userId);
    const begins = () => place.goOn();
    const item = { ...waitingBy(found.facts, found.way), trace: { correlationId, traceparent }, begins, resolve };
    if (!this.#waiting.isOverfull(userId)) this.#scheduler.add(item);
    else this.#postponer.putOff([item], CROWDED.least + Math.random() * (CROWDED.most - CROWDED.least), false);
  }

  /** What becomes of a job with whose message there is nothing to do. @throws the database's error */
  async #outcomeWithout(emailId: string): Promise<JobOutcome> {
    return (await this.#patiently(() => this.#dependencies.facts.isForeign(emailId), false)) ? 'foreign' : 'done';
  }

  /** @returns false where it is to be looked for again, but not at once: its way out is shut, and has enough to be probed with */
  async #addExpired(facts: JobFacts): Promise<boolean> {
    const { emailId } = facts;
    const way = await this.#dependencies.ways.wayOf(facts).catch(() => null);
    if (this.#stopping.signal.aborted || this.#jobs.has(emailId)) return true;
    if (way === null) return false;
    const { promise, resolve } = Promise.withResolvers<JobOutcome>();
    this.#jobs.set(emailId, promise);
    this.#scheduler.add({ ...waitingBy(facts, way), trace: null, begins: () => {}, resolve });
    const outcome = await promise;
    this.#jobs.delete(emailId);
    return outcome === 'done';
  }

  async #begin(item: WaitingMessage, permit: Permit): Promise<void> {
    const { ways } = this.#dependencies;
    // A part of its way may have been shut while it waited.
    const way = ways.shut?.length ? await ways.wayOf(item.facts).catch(() => item.way) : item.way;
    if (this.#stopping.signal.aborted) return item.resolve('left');
    if (way !== item.way) return this.#scheduler.add({ ...item, way });
    item.begins();
    return this.#claimAnd(item, (claim, trace) => {
      if (isAlone(claim)) return this.#tryAlone(claim, trace);
      return this.#work.keep(claim, () => this.#work.run(claim, trace, permit));
    });
  }

  /** Never rejects. */
  #claimAnd(
    { facts, trace, resolve }: WaitingMessage,
    work: (claim: Claim, trace: TraceContext) => Promise<boolean>,
  ): Promise<void> {
    const claim = async (): Promise<void> => {
      try {
        const got = await this.#patiently(() => this.#claims.add(facts.emailId));
        if (got === null) return resolve('done');
        this.#dependencies.metrics.claims.inc({ source: facts.expired ? 'expired' : 'job' });
        const done = work(got, trace ?? storedTrace(got)).then(isDone => resolve(isDone ? 'done' : 'left'));
        // What is to be alone keeps no place while it waits for that.
        if (!isAlone(got)) await done;
      } catch {
        resolve('left');
      }
    };
    const beginning = claim().finally(() => this.#beginning.delete(beginning));
    this.#beginning.add(beginning);
    return beginning;
  }

  async #claimAll(ids: readonly string[]): Promise<(Claim | null)[]> {
    const claims = await this.#dependencies.claims.take(ids);
    const byId = new Map(claims.map(claim => [claim.emailId, claim]));
    return ids.map(id => byId.get(id) ?? null);
  }

  #tryAlone(claim: Claim, trace: TraceContext): Promise<boolean> {
    return this.#work.keep(claim, () => this.#scheduler.alone(() => this.#work.run(claim, trace)));
  }

  #giveUp(item: WaitingMessage, error: ProviderError): Promise<void> {
    const giveUp: WorkOn = (...args) => this.#dependencies.giveUp(...args, error);
    return this.#claimAnd(item, (claim, trace) =>
      this.#work.keep(claim, () => this.#work.run(claim, trace, undefined, giveUp)),
    );
  }

  /**
   * Waits for a database that is away, unless the worker stops; meanwhile there is no room.
   *
   * @param isNeeded whether nothing can be sent where the database refuses it
   */
  async #patiently<T>(work: () => Promise<T>, isNeeded = true): Promise<T> {
    const { signal } = this.#stopping;
    const { standstill } = this.#dependencies;
    let failed = false;
    const onFault = (error: unknown): void => {
      if (!failed) this.#dependencies.logger.warn({ err: error }, 'jobs wait for the database');
      failed = true;
      this.#waiting.close(true);
    };
    try {
      return await untilAnswered(work, { signal, onFault, ...(isNeeded && { standstill }) });
    } finally {
      if (failed && !signal.aborted) this.#waiting.close(false);
    }
  }
}

const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after(milliseconds, run) {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  },
};

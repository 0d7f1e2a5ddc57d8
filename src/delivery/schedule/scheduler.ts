import type { Passage } from './circuit.ts';
import { FairShares, Lane, mayTakeMore, type Waiting, WayQueue } from './way-queue.ts';
import { holdWithoutQuota, type Way } from './ways.ts';

export interface SchedulerOptions {
  /** Messages under way at the same time. */
  readonly concurrency: number;
  /** Of those, at most so many by one way out. */
  readonly callsPerWay: number;
  /** The bytes that small messages under way may have, and those that large ones may have. */
  readonly bytes: { readonly small: number; readonly large: number };
}

export interface Clock {
  /** Monotonic, in milliseconds. */
  now(): number;
  /** @returns what calls it off */
  after(milliseconds: number, run: () => void): () => void;
}

/** What has been given to a message that may begin. */
export interface Permit {
  readonly way: Way;
  readonly passage: Passage;
  /** Whether a further call for so many recipients may follow in a moment; it is then paid for. Where not, the message waits anew. */
  goesOn(recipients: number): Promise<boolean>;
}

export interface SchedulerDependencies<T extends Waiting> {
  readonly options: SchedulerOptions;
  /** Does the work. Never rejects. */
  readonly start: (item: T, permit: Permit) => Promise<void>;
  /** What is not to wait here any longer, since its way out is shut, maybe for so many milliseconds. */
  readonly putOff: (items: readonly T[], milliseconds: number) => void;
  /** Whether anything may begin at all. */
  readonly mayBegin: () => boolean;
  readonly clock: Clock;
}

/** What waits for a way out that is shut, so that there is something to probe it with. */
const KEPT = 10;
/** Milliseconds; how long a way out is shut that is being probed just now. */
const PROBE_TIME = 5_000;
/** Milliseconds for which a message keeps what it has for a further call: as long as it takes to ask for tokens. */
const MOMENT = 50;
/** Milliseconds between two looks whether anything may begin again. */
const CLOSED_LOOK = 500;
/** Milliseconds for which all else waits, first for one that is to be tried alone, and then for it. */
const DRAIN_TIME = 5_000;
const ALONE_TIME = 10_000;

/**
 * Decides which message goes next. It begins when its way out is open, has a token for its recipients and a free place, and
 * when there is a place and memory here. Until then it holds nothing. Among those that may begin, owners take turns by what
 * they have sent: at each way out, and over all.
 */
export class Scheduler<T extends Waiting> {
  readonly #dependencies: SchedulerDependencies<T>;
  readonly #queues = new Map<Way, WayQueue<T>>();
  readonly #shares = new FairShares();
  readonly #small: Lane;
  readonly #large: Lane;
  readonly #alone: (() => void)[] = [];
  #running = 0;
  /** What keeps all else away just now. */
  #runsAlone: unknown = null;
  #cancelTimer: (() => void) | null = null;
  #cancelDrain: (() => void) | null = null;

  constructor(dependencies: SchedulerDependencies<T>) {
    this.#dependencies = dependencies;
    const { small, large } = dependencies.options.bytes;
    this.#small = new Lane(small);
    this.#large = new Lane(large);
  }

  /** How many wait. */
  get waiting(): number {
    let sum = 0;
    for (const { size } of this.#queues.values()) sum += size;
    return sum;
  }

  add(item: T): void {
    const queue = this.#queues.get(item.way) ?? new WayQueue<T>(item.way);
    this.#queues.set(item.way, queue);
    queue.add(item);
    this.pump();
  }

  /** Takes out all that waits. */
  clear(): T[] {
    const all = [...this.#queues.values()].flatMap(queue => queue.all());
    this.#queues.clear();
    this.#cancelTimer?.();
    return all;
  }

  /** Runs work with nothing beside it, but for what takes long: that does not hold up everybody. */
  async alone<R>(work: () => Promise<R>): Promise<R> {
    await new Promise<void>(resolve => {
      this.#alone.push(() => {
        this.#runsAlone = work;
        resolve();
      });
      this.#drain();
    });
    const end = (): void => {
      if (this.#runsAlone === work) this.#runsAlone = null;
      this.#drain();
      this.pump();
    };
    const cancel = this.#dependencies.clock.after(ALONE_TIME, end);
    this.#running += 1;
    try {
      return await work();
    } finally {
      cancel();
      this.#running -= 1;
      end();
    }
  }

  /** Begins what may begin. Called whenever something has changed. */
  pump(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    if (this.waiting === 0) return;
    if (!this.#dependencies.mayBegin()) {
      this.#lookAfter(CLOSED_LOOK);
      return;
    }
    this.#putOffSurplus();
    while (
      this.#runsAlone === null &&
      this.#alone.length === 0 &&
      this.#running < this.#dependencies.options.concurrency
    ) {
      const next = this.#next();
      if (!next) return;
      this.#begin(next);
    }
  }

  /** @returns null where nothing may begin now; it then looks again when something may */
  #next(): T | null {
    let soonest = Number.POSITIVE_INFINITY;
    let small: T | null = null;
    let large: T | null = null;
    for (const queue of this.#queues.values()) {
      if (queue.size === 0) continue;
      const wait = this.#waitOf(queue);
      if (wait > 0) {
        soonest = Math.min(soonest, wait);
        continue;
      }
      const candidates = this.#firstsOf(queue);
      small = this.#earlier(small, candidates.small);
      large = this.#earlier(large, candidates.large);
    }
    // Nothing that is smaller passes a large one that does not fit yet: it would never fit.
    if (large && !this.#large.fits(large.way, large.bytes)) large = null;
    const next = this.#earlier(small, large);
    if (!next && soonest < Number.POSITIVE_INFINITY) this.#lookAfter(soonest);
    return next;
  }

  /** Milliseconds until something of it may begin; Infinity where that depends on what is under way. */
  #waitOf(queue: WayQueue<T>): number {
    const { circuit, allowance } = queue.way;
    holdWithoutQuota(queue.way);
    circuit.seekTurn();
    const wait = circuit.wait;
    if (wait > 0) return wait === Number.POSITIVE_INFINITY && allowance?.quotaLeft === 0 ? QUOTA_LOOK : wait;
    if (!this.#hasPlace(queue)) return Number.POSITIVE_INFINITY;
    const waits = [queue.first('small'), queue.first('large')].map(item =>
      item ? (allowance?.waitFor(item.recipients) ?? 0) : Number.POSITIVE_INFINITY,
    );
    return Math.min(...waits);
  }

  /** What hangs since before it was shut keeps no probe away. */
  #hasPlace({ way, running }: WayQueue<T>): boolean {
    if (way.circuit.reason !== null) return true;
    const { concurrency, callsPerWay } = this.#dependencies.options;
    if (running >= Math.min(way.calls, callsPerWay, way.circuit.calls)) return false;
    return mayTakeMore(running, concurrency - this.#running, way.circuit.isProven);
  }

  /** Those of its two lanes that have a token, and of small ones only what fits. */
  #firstsOf(queue: WayQueue<T>): { readonly small: T | null; readonly large: T | null } {
    const { way } = queue;
    const hasToken = (item: T | null): T | null =>
      item && (way.allowance?.waitFor(item.recipients) ?? 0) <= 0 ? item : null;
    const small = hasToken(queue.first('small'));
    const fits = small && this.#small.fits(way, small.bytes);
    return { small: fits ? small : null, large: hasToken(queue.first('large')) };
  }

  #earlier(one: T | null, other: T | null): T | null {
    if (!one || !other) return one ?? other;
    const within = one.way === other.way ? this.#queues.get(one.way) : undefined;
    const order = within ? within.compare(one, other) : this.#shares.compare(one.owner, other.owner);
    return order <= 0 ? one : other;
  }

  #begin(item: T): void {
    const { way, owner, bytes, recipients } = item;
    const queue = this.#queues.get(way);
    if (!queue?.remove(item)) return;
    const lane = item.isLarge ? this.#large : this.#small;
    const passage = way.circuit.begin();
    const pay = (cost: number): void => {
      way.allowance?.take(cost);
      queue.serve(owner, cost);
      this.#shares.serve(owner, cost);
    };
    pay(recipients);
    lane.take(way, bytes);
    queue.running += 1;
    this.#running += 1;
    const goesOn = async (cost: number): Promise<boolean> => {
      const { clock } = this.#dependencies;
      for (const end = clock.now() + MOMENT; clock.now() < end; ) {
        const wait = this.#waitToGoOn(queue, cost);
        if (wait === 0) pay(cost);
        if (wait === 0 || wait > MOMENT) return wait === 0;
        await new Promise<void>(resolve => clock.after(wait, resolve));
      }
      return false;
    };
    const permit: Permit = { way, passage, goesOn };
    void this.#dependencies.start(item, permit).finally(() => {
      way.circuit.end(passage);
      lane.giveBack(way, bytes);
      queue.running -= 1;
      this.#running -= 1;
      this.#forget(queue);
      this.#drain();
      this.pump();
    });
  }

  /** Milliseconds. Whoever has a place goes on with it only where nobody has to wait long for the tokens that it takes. */
  #waitToGoOn(queue: WayQueue<T>, recipients: number): number {
    const { circuit, allowance } = queue.way;
    const others = [queue.first('small'), queue.first('large')].flatMap(item => item?.recipients ?? []);
    const waits = [recipients, ...others].map(cost => allowance?.waitFor(cost) ?? 0);
    return Math.max(circuit.wait, ...waits);
  }

  #putOffSurplus(): void {
    for (const queue of this.#queues.values()) {
      if (queue.size <= KEPT) continue;
      holdWithoutQuota(queue.way);
      const { circuit } = queue.way;
      if (circuit.reason === null) continue;
      const surplus = queue.takeSurplus(KEPT);
      const wait = circuit.wait === Number.POSITIVE_INFINITY ? PROBE_TIME : circuit.wait;
      if (surplus.length > 0) this.#dependencies.putOff(surplus, Math.max(wait, circuit.shutFor));
    }
  }

  /** What was not used for a while is made anew when it is needed. */
  #forget(queue: WayQueue<T>): void {
    if (queue.size === 0 && queue.running === 0 && this.#queues.size > MAX_QUEUES) this.#queues.delete(queue.way);
  }

  #lookAfter(milliseconds: number): void {
    this.#cancelTimer = this.#dependencies.clock.after(Math.ceil(milliseconds), () => {
      this.#cancelTimer = null;
      this.pump();
    });
  }

  /** Lets the first begin that is to be alone, when nothing is under way any more but what takes long. */
  #drain(isLate = false): void {
    if (this.#alone.length === 0 || this.#runsAlone !== null) return;
    if (this.#running > 0 && !isLate) {
      this.#cancelDrain ??= this.#dependencies.clock.after(DRAIN_TIME, () => {
        this.#cancelDrain = null;
        this.#drain(true);
      });
      return;
    }
    this.#cancelDrain?.();
    this.#cancelDrain = null;
    this.#alone.shift()?.();
  }
}

/** Ways out that are known though nothing waits for them. */
const MAX_QUEUES = 100;
/** Milliseconds between two looks whether there is any of a day's quota again. */
const QUOTA_LOOK = 1_000;

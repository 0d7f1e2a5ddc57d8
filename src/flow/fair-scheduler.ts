export interface FairSchedulerOptions {
  /** How many run at the same time at most. */
  readonly concurrency: number;
  /** How many bytes those together may have in memory. What is larger than that runs alone. */
  readonly bytes: number;
  /** How many bytes of one owner may be here, running or waiting, until it is asked to hold more of them back; all of them unless given. */
  readonly enough?: number;
  /** One of its own unless given. */
  readonly strain?: Pick<Strain, 'noticed' | 'restAfter'>;
}

interface Waiting {
  readonly owner: Owner;
  readonly bytes: number;
  /** Never rejects. */
  readonly run: () => Promise<void>;
}

interface Owner {
  readonly id: string;
  readonly waiting: Waiting[];
  running: number;
  /** Of what waits or runs. */
  bytes: number;
  /** Are called when it has no longer enough here. */
  readonly wanted: (() => void)[];
  /** When it was served last, or came, counted in turns. */
  since: number;
  /** Until when it makes way, as `performance.now()` tells it. */
  restsUntil: number;
}

/** Runs work so that owners take turns: one owner's many messages do not hold up another's few. */
export interface FairScheduler {
  /** How many wait or run. */
  readonly size: number;
  /**
   * Tells of work of an owner that needed no turn, and how many milliseconds it took. Where that is long beside turns of others, those
   * rest between their turns, so that they leave to small work what it needs.
   */
  passed(owner: string, milliseconds: number): void;
  /**
   * Runs the work when it is its turn; that of one owner begins in the order in which it was added. Ends as the work does.
   *
   * @param signal calls it off while it waits; work that has begun is its own affair
   * @throws the signal's reason
   */
  add<T>(owner: string, bytes: number, work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  /**
   * Whether more work of an owner would do nothing but wait, in memory: null where it would not, else what resolves when it no longer
   * would. One piece of work may wait behind another, however large they are.
   */
  untilWanted(owner: string): Promise<void> | null;
}

export function createFairScheduler(options: FairSchedulerOptions): FairScheduler {
  return new OwnersInTurn(options);
}

/**
 * Next is the owner of whom the least is running; among equals, the one who has waited longest for a turn. Work that does
 * not fit into the bytes lets smaller work pass, but only as much as may run at once: then everything waits for it.
 */
class OwnersInTurn implements FairScheduler {
  readonly #options: FairSchedulerOptions;
  readonly #owners = new Map<string, Owner>();
  readonly #strain: Pick<Strain, 'noticed' | 'restAfter'>;
  #alarm: NodeJS.Timeout | undefined;
  #turn = 0;
  #running = 0;
  #bytes = 0;
  #waiting = 0;
  /** What did not fit when its turn came, and how much has passed it since. */
  #tooLarge: Waiting | null = null;
  #passed = 0;

  constructor(options: FairSchedulerOptions) {
    this.#options = options;
    this.#strain = options.strain ?? new Strain();
  }

  get size(): number {
    return this.#running + this.#waiting;
  }

  passed(id: string, milliseconds: number): void {
    for (const owner of this.#owners.values()) {
      if (owner.id === id || owner.running === 0) continue;
      this.#strain.noticed(milliseconds);
      return;
    }
  }

  add<T>(id: string, bytes: number, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const owner = this.#ownerOf(id);
      const leave = (): void => {
        this.#leave(entry);
        reject(signal?.reason);
      };
      const run = (): Promise<void> => {
        signal?.removeEventListener('abort', leave);
        return work().then(resolve, reject);
      };
      const entry: Waiting = { owner, bytes, run };
      signal?.addEventListener('abort', leave, { once: true });
      owner.waiting.push(entry);
      owner.bytes += bytes;
      this.#waiting += 1;
      this.#pump();
    });
  }

  untilWanted(id: string): Promise<void> | null {
    const owner = this.#owners.get(id);
    if (!owner || !this.#hasEnough(owner)) return null;
    return new Promise(resolve => owner.wanted.push(resolve));
  }

  #hasEnough({ waiting, running, bytes }: Owner): boolean {
    const { enough = Number.POSITIVE_INFINITY } = this.#options;
    return bytes >= enough && waiting.length + running > 1;
  }

  /** Work of an owner has left. */
  #left(owner: Owner, bytes: number): void {
    owner.bytes -= bytes;
    if (!this.#hasEnough(owner)) for (const resolve of owner.wanted.splice(0)) resolve();
    this.#forget(owner);
    this.#pump();
  }

  #leave(entry: Waiting): void {
    const { owner } = entry;
    owner.waiting.splice(owner.waiting.indexOf(entry), 1);
    this.#waiting -= 1;
    if (entry === this.#tooLarge) this.#forgetTooLarge();
    this.#left(owner, entry.bytes);
  }

  #ownerOf(id: string): Owner {
    let owner = this.#owners.get(id);
    if (!owner) {
      this.#turn += 1;
      owner = { id, waiting: [], running: 0, bytes: 0, wanted: [], since: this.#turn, restsUntil: 0 };
      this.#owners.set(id, owner);
    }
    return owner;
  }

  #pump(): void {
    while (this.#running < this.#options.concurrency) {
      const next = this.#next();
      if (!next) break;
      this.#begin(next);
    }
    this.#setAlarm();
  }

  /** Goes on when the first of those who rest has rested. */
  #setAlarm(): void {
    clearTimeout(this.#alarm);
    const now = performance.now();
    const resting = [...this.#owners.values()].map(({ restsUntil }) => restsUntil).filter(until => until > now);
    if (resting.length === 0) return;
    const wake = (): void => {
      for (const owner of this.#owners.values()) this.#forget(owner);
      this.#pump();
    };
    // Timers fire a little early.
    this.#alarm = setTimeout(wake, Math.min(...resting) - now + 1).unref();
  }

  #next(): Waiting | null {
    if (this.#tooLarge && isResting(this.#tooLarge.owner)) this.#forgetTooLarge();
    if (this.#tooLarge) {
      if (this.#fits(this.#tooLarge)) return this.#tooLarge;
      if (this.#passed >= this.#options.concurrency) return null;
    }
    for (const { waiting } of this.#inTurn()) {
      const [first] = waiting;
      if (!first) continue;
      if (this.#fits(first)) return first;
      this.#tooLarge ??= first;
    }
    return null;
  }

  #inTurn(): Owner[] {
    const owners = [...this.#owners.values()].filter(one => one.waiting.length > 0 && !isResting(one));
    return owners.sort((one, other) => one.running - other.running || one.since - other.since);
  }

  #forgetTooLarge(): void {
    this.#tooLarge = null;
    this.#passed = 0;
  }

  #fits({ bytes }: Waiting): boolean {
    return this.#running === 0 || this.#bytes + bytes <= this.#options.bytes;
  }

  #begin(next: Waiting): void {
    const { owner } = next;
    owner.waiting.shift();
    this.#waiting -= 1;
    if (next === this.#tooLarge) this.#forgetTooLarge();
    else if (this.#tooLarge) this.#passed += 1;
    this.#turn += 1;
    owner.since = this.#turn;
    owner.running += 1;
    this.#running += 1;
    this.#bytes += next.bytes;
    void this.#run(next);
  }

  async #run({ owner, bytes, run }: Waiting): Promise<void> {
    const began = performance.now();
    await run();
    const now = performance.now();
    owner.restsUntil = Math.max(owner.restsUntil, now) + this.#strain.restAfter(now - began);
    owner.running -= 1;
    this.#running -= 1;
    this.#bytes -= bytes;
    this.#left(owner, bytes);
  }

  #forget(owner: Owner): void {
    if (owner.running > 0 || owner.waiting.length > 0 || isResting(owner)) return;
    this.#owners.delete(owner.id);
  }
}

function isResting({ restsUntil }: Owner): boolean {
  return restsUntil > performance.now();
}

export interface StrainOptions {
  /** The present moment in milliseconds; only differences count. */
  readonly now?: () => number;
}

/** Milliseconds that small work may take beside large: so many pass unnoticed. */
const UNNOTICED = 25;
/** How many times as long as it ran large work rests, once it was noticed, and at most. */
const FIRST = 1;
const MOST = 8;
/** Milliseconds in which the rest becomes half as long where nothing is noticed. */
const HALF_LIFE = 5_000;
/** Below this share of its time nobody rests. */
const NOTHING = 0.05;
/** Milliseconds between two steps: all who waited for the same thing tell of it. */
const STEP = 100;
/** Milliseconds. Clients wait for replies, and a relay that stops waits for messages. */
const LONGEST_REST = 5_000;

/**
 * How much large work is in the way of small, by how long small work takes beside it. Which share of disk and processors it may
 * have depends on the database and the machine, which nobody but those who wait for them can tell.
 */
export class Strain {
  readonly #now: () => number;
  #factor = 0;
  #at: number;
  #steppedAt = Number.NEGATIVE_INFINITY;

  constructor({ now = () => performance.now() }: StrainOptions = {}) {
    this.#now = now;
    this.#at = now();
  }

  /** Small work of somebody else took so many milliseconds beside large. */
  noticed(milliseconds: number): void {
    const now = this.#now();
    if (milliseconds <= UNNOTICED || now - this.#steppedAt < STEP) return;
    this.#factor = Math.min(MOST, Math.max(FIRST, this.#current(now) * 2));
    this.#at = now;
    this.#steppedAt = now;
  }

  /** @returns for how many milliseconds whoever has had a turn of so many makes way */
  restAfter(milliseconds: number): number {
    const factor = this.#current(this.#now());
    return factor < NOTHING ? 0 : Math.min(LONGEST_REST, milliseconds * factor);
  }

  #current(now: number): number {
    return this.#factor * 0.5 ** ((now - this.#at) / HALF_LIFE);
  }
}

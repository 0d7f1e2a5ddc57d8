import { repeat } from '../flow/loop.ts';
import type { OutboxJob } from '../message/send-job.ts';

interface QueuePaceOptions {
  /** Jobs that wait in the queue for somebody to take them; null: it cannot be known. */
  readonly depth: () => Promise<number | null>;
  /** Whether anybody is there who takes them. */
  readonly attended: () => Promise<boolean>;
  /** A monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/** Jobs that may wait in the queue in any case, and those that were taken from it in so many milliseconds. */
const LEAST = 500;
const TAKEN_IN = 500;
/** Milliseconds between two looks while the queue fills, and otherwise as long as something is published. */
const LOOK = 200;
const QUIET_LOOKS = 5;
/** Jobs of each owner that go in a second, however much waits. */
const FEW = 5;
const SECOND = 1_000;
/** Milliseconds between two questions whether anybody takes jobs. */
const ATTENDED_LOOK = 5_000;

/**
 * How much may be published, so that the queue never holds more than is taken from it in a moment: nobody can read it around
 * an owner's hundred thousand jobs, while the outbox gives everybody his turn. Whoever publishes little may always. Where nobody
 * is there who takes any, there is nobody to wait for: then all is published.
 */
export class QueuePace {
  readonly #options: QueuePaceOptions;
  readonly #now: () => number;
  #hasLooked = false;
  /** At the last look; null: not known. */
  #depth: number | null = null;
  #lookedAt: number;
  /** Since the last look. */
  #published = 0;
  /** Jobs a second that were taken from the queue. */
  #drained = 0;
  #isAttended = false;
  #askedAt = Number.NEGATIVE_INFINITY;
  #secondBegan = Number.NEGATIVE_INFINITY;
  readonly #inThisSecond = new Map<string | null, number>();

  constructor(options: QueuePaceOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#lookedAt = this.#now();
  }

  /** Jobs that wait in the queue, as far as is known. */
  get depth(): number {
    return this.#depth ?? 0;
  }

  /** How many jobs may be published before the next look. */
  get room(): number {
    if (this.#hasLooked && (this.#depth === null || !this.#isAttended)) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#limit - this.depth - this.#published);
  }

  get #limit(): number {
    return Math.max(LEAST, (this.#drained * TAKEN_IN) / SECOND);
  }

  /** Whether one of the few jobs may go that an owner may always publish. */
  mayAlways(owner: string | null): boolean {
    this.#beginSecond();
    return (this.#inThisSecond.get(owner) ?? 0) < FEW;
  }

  /** Owners who have had those. */
  get served(): (string | null)[] {
    this.#beginSecond();
    return [...this.#inThisSecond].filter(([, count]) => count >= FEW).map(([owner]) => owner);
  }

  /** One is on its way. */
  goes(owner: string | null): void {
    this.#beginSecond();
    this.#published += 1;
    this.#inThisSecond.set(owner, (this.#inThisSecond.get(owner) ?? 0) + 1);
  }

  /** Looks as often as is worth while, until the signal comes. Never rejects. @param onLook called after each */
  lookForever(onLook: () => void, signal: AbortSignal): Promise<void> {
    let quiet = QUIET_LOOKS;
    const look = async (): Promise<void> => {
      const fills = this.#depth !== null && this.#depth + this.#published > this.#limit / 4;
      quiet = fills ? QUIET_LOOKS : quiet + 1;
      if (quiet >= QUIET_LOOKS && (fills || this.#published > 0)) {
        quiet = 0;
        await this.look();
      }
      onLook();
    };
    return repeat(look, { pause: LOOK, signal });
  }

  /** Never rejects: where the queue does not say, it is as if it were empty. */
  async look(): Promise<void> {
    const published = this.#published;
    const [depth] = await Promise.all([this.#options.depth().catch(() => null), this.#askWhetherAttended()]);
    const now = this.#now();
    if (depth !== null && this.#depth !== null) {
      const seconds = Math.max(now - this.#lookedAt, 1) / SECOND;
      const drained = Math.max(0, this.#depth + published - depth) / seconds;
      // Slowly less: a worker that pauses for a moment goes on as fast.
      this.#drained = Math.max(drained, this.#drained * 0.8);
    }
    this.#hasLooked = true;
    this.#depth = depth;
    this.#lookedAt = now;
    this.#published -= published;
  }

  /** Never rejects: what cannot be asked is as it was. */
  async #askWhetherAttended(): Promise<void> {
    if (this.#now() - this.#askedAt < ATTENDED_LOOK) return;
    this.#askedAt = this.#now();
    this.#isAttended = await this.#options.attended().catch(() => this.#isAttended);
  }

  #beginSecond(): void {
    if (this.#now() - this.#secondBegan < SECOND) return;
    this.#secondBegan = this.#now();
    this.#inThisSecond.clear();
  }
}

/** The outbox as it is swept (`store/messages/outbox.ts`). */
export interface SweptOutbox {
  leaseDue(limit: number, leaseMs: number): Promise<OutboxJob[]>;
  takeInTurn(limit: number, leaseMs: number, leftOut: readonly (string | null)[]): Promise<OutboxJob[]>;
}

interface OutboxHelpingsOptions {
  readonly outbox: SweptOutbox;
  /** null: the queue takes whatever there is. */
  readonly pace: QueuePace | null;
  /** Milliseconds for which what is taken is ours. */
  readonly leaseTime: number;
}

const LIMIT = 500;
/** While the queue is full: of those who publish little. */
const BESIDES = 50;

/** Takes from the outbox what is due and nobody publishes, a helping at a time. */
export class OutboxHelpings {
  readonly #options: OutboxHelpingsOptions;
  #last = 0;

  constructor(options: OutboxHelpingsOptions) {
    this.#options = options;
  }

  /** Whether more is there at once, and may be published. */
  get goesOn(): boolean {
    const { pace } = this.#options;
    return pace ? this.#last > 0 && pace.room >= BESIDES : this.#last === LIMIT;
  }

  /** Whether the queue is all that keeps more from it. */
  get isHeldBack(): boolean {
    return this.#options.pace !== null && this.#last > 0;
  }

  async take(): Promise<LeasedJob[]> {
    const leasedUntil = performance.now() + this.#options.leaseTime;
    this.#last = 0;
    const jobs = await this.#jobs();
    this.#last = jobs.length;
    return jobs.map(job => ({ job, leasedUntil }));
  }

  async #jobs(): Promise<OutboxJob[]> {
    const { outbox, pace, leaseTime } = this.#options;
    if (pace === null) return outbox.leaseDue(LIMIT, leaseTime);
    const room = Math.floor(Math.min(pace.room, LIMIT));
    const jobs =
      room > 0
        ? await outbox.takeInTurn(room, leaseTime, [])
        : await outbox.takeInTurn(BESIDES, leaseTime, pace.served);
    for (const { userId } of jobs) pace.goes(userId);
    return jobs;
  }
}

/** A job that is ours to publish for a while. */
export interface LeasedJob {
  readonly job: OutboxJob;
  /** When others may take it, on the clock of `performance.now()`. */
  readonly leasedUntil: number;
}

/** Jobs in memory that wait for a call to the queue: taken of one owner after the other. */
export class PendingJobs {
  readonly #limit: number;
  /** In the order of their turns; none is empty. */
  readonly #byOwner = new Map<string | null, LeasedJob[]>();
  #size = 0;

  /** @param limit beyond this the outbox alone remembers */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /** Where there is no room, the last job of whoever has most is left to the outbox. */
  add(leased: LeasedJob): void {
    const { userId } = leased.job;
    const own = this.#byOwner.get(userId) ?? [];
    if (this.#size >= this.#limit) {
      const most = this.#longest();
      if (own.length + 1 >= most.length) return;
      most.pop();
      this.#size -= 1;
    }
    own.push(leased);
    this.#byOwner.set(userId, own);
    this.#size += 1;
  }

  /** @param may whether another job of an owner may be taken; a yes is used */
  take(limit: number, may: (owner: string | null) => boolean): LeasedJob[] {
    const taken: LeasedJob[] = [];
    const barred = new Set<string | null>();
    // Who had his turn goes to the end, where this comes by once more.
    for (const [owner, jobs] of this.#byOwner) {
      if (taken.length === limit || barred.size === this.#byOwner.size) break;
      if (barred.has(owner)) continue;
      this.#byOwner.delete(owner);
      const job = may(owner) ? jobs.shift() : undefined;
      if (job) taken.push(job);
      else barred.add(owner);
      if (jobs.length > 0) this.#byOwner.set(owner, jobs);
    }
    this.#size -= taken.length;
    return taken;
  }

  /** Forgets those that are not ours any more at a moment. */
  forgetBefore(moment: number): void {
    for (const [owner, jobs] of this.#byOwner) {
      const left = jobs.filter(({ leasedUntil }) => leasedUntil > moment);
      this.#size -= jobs.length - left.length;
      if (left.length > 0) this.#byOwner.set(owner, left);
      else this.#byOwner.delete(owner);
    }
  }

  clear(): void {
    this.#byOwner.clear();
    this.#size = 0;
  }

  #longest(): LeasedJob[] {
    let longest: LeasedJob[] = [];
    for (const jobs of this.#byOwner.values()) if (jobs.length > longest.length) longest = jobs;
    return longest;
  }
}

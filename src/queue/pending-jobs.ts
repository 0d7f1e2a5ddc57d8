import type { SendJob } from './send-job.ts';

/** A job that is ours to publish for a while. */
export interface LeasedJob {
  readonly job: SendJob;
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

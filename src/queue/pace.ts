import { setTimeout as delay } from 'node:timers/promises';

export interface QueuePaceOptions {
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
    if (this.#depth === null || !this.#isAttended) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#limit - this.#depth - this.#published);
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
  async lookForever(onLook: () => void, signal: AbortSignal): Promise<void> {
    for (let quiet = QUIET_LOOKS; !signal.aborted; ) {
      await delay(LOOK, undefined, { signal }).catch(() => {});
      const fills = this.#depth !== null && this.#depth + this.#published > this.#limit / 4;
      quiet = fills ? QUIET_LOOKS : quiet + 1;
      if (!signal.aborted && quiet >= QUIET_LOOKS && (fills || this.#published > 0)) {
        quiet = 0;
        await this.look();
      }
      onLook();
    }
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

import type { Way } from './ways.ts';

/** What waits: a message of which it is known what it needs, and which nobody has claimed. */
export interface Waiting {
  /** Whose it is. */
  readonly owner: string;
  readonly way: Way;
  /** Of the next call, at most: the cost of a turn. */
  readonly recipients: number;
  /** The memory that it takes. */
  readonly bytes: number;
  readonly isLarge: boolean;
}

/** Owners by what they have had, so that whoever has had least goes next. */
export class FairShares {
  readonly #served = new Map<string, { tag: number; since: number }>();
  /** Where the one stands who was served last. */
  #now = 0;
  #turn = 0;

  /** Below zero where the first goes before the other. */
  compare(one: string, other: string): number {
    return this.#tagOf(one) - this.#tagOf(other) || this.#sinceOf(one) - this.#sinceOf(other);
  }

  serve(owner: string, cost: number): void {
    this.#now = this.#tagOf(owner);
    this.#turn += 1;
    this.#served.set(owner, { tag: this.#now + cost, since: this.#turn });
    if (this.#turn % FORGET_EVERY === 0) this.#forget();
  }

  /** Who had nothing to send for a while saves nothing up by that. */
  #tagOf(owner: string): number {
    return Math.max(this.#now, this.#served.get(owner)?.tag ?? 0);
  }

  #sinceOf(owner: string): number {
    return this.#served.get(owner)?.since ?? 0;
  }

  /** Of those whom everybody has caught up with, nothing needs to be known. */
  #forget(): void {
    for (const [owner, { tag }] of this.#served) if (tag <= this.#now) this.#served.delete(owner);
  }
}

const FORGET_EVERY = 1_000;

interface Lanes<T> {
  readonly small: T[];
  readonly large: T[];
}

/** What waits for one way out, by owner. Of one owner, what came first goes first, but large ones hold up no small ones. */
export class WayQueue<T extends Waiting> {
  readonly way: Way;
  readonly #shares = new FairShares();
  readonly #owners = new Map<string, Lanes<T>>();
  /** What is known of whose turn it is. */
  readonly #first: { small?: T | null; large?: T | null } = {};
  #size = 0;
  /** Messages by this way that are under way. */
  running = 0;

  constructor(way: Way) {
    this.way = way;
  }

  get size(): number {
    return this.#size;
  }

  add(item: T): void {
    const lanes = this.#owners.get(item.owner) ?? { small: [], large: [] };
    this.#owners.set(item.owner, lanes);
    const lane = laneOf(item);
    lanes[lane].push(item);
    this.#size += 1;
    const first = this.#first[lane];
    if (first === null || (first && this.compare(item, first) < 0)) this.#first[lane] = item;
  }

  /** Below zero where the first goes before the other. */
  compare(one: T, other: T): number {
    return this.#shares.compare(one.owner, other.owner);
  }

  /** An owner has had a turn, at that cost. */
  serve(owner: string, cost: number): void {
    this.#shares.serve(owner, cost);
    delete this.#first.small;
    delete this.#first.large;
  }

  /** Whose turn it is among the small ones, or among the large ones. */
  first(lane: keyof Lanes<T>): T | null {
    this.#first[lane] ??= this.#findFirst(lane);
    return this.#first[lane];
  }

  #findFirst(lane: keyof Lanes<T>): T | null {
    let first: T | null = null;
    for (const lanes of this.#owners.values()) {
      const [item] = lanes[lane];
      if (item && (!first || this.compare(item, first) < 0)) first = item;
    }
    return first;
  }

  /** @returns whether it was waiting */
  remove(item: T): boolean {
    const lanes = this.#owners.get(item.owner);
    const lane = laneOf(item);
    const index = lanes?.[lane].indexOf(item) ?? -1;
    if (!lanes || index === -1) return false;
    lanes[lane].splice(index, 1);
    this.#size -= 1;
    delete this.#first[lane];
    if (lanes.small.length + lanes.large.length === 0) this.#owners.delete(item.owner);
    return true;
  }

  /** Takes out all but so many, of each owner those that came last. */
  takeSurplus(keep: number): T[] {
    const each = Math.max(1, Math.floor(keep / Math.max(1, this.#owners.size)));
    const surplus: T[] = [];
    let kept = 0;
    for (const { small, large } of [...this.#owners.values()]) {
      for (const item of [...small, ...large].slice(Math.min(each, Math.max(0, keep - kept)))) {
        if (this.remove(item)) surplus.push(item);
      }
      kept += small.length + large.length;
    }
    return surplus;
  }

  all(): T[] {
    return [...this.#owners.values()].flatMap(({ small, large }) => [...small, ...large]);
  }
}

function laneOf({ isLarge }: Waiting): keyof Lanes<Waiting> {
  return isLarge ? 'large' : 'small';
}

/**
 * Memory that messages of one kind share. What is larger than all of it goes alone. A way out may take no more than a part of
 * what the others leave, so that one where everything hangs leaves something for each further one.
 */
export class Lane {
  readonly #bytes: number;
  readonly #held = new Map<Way, number>();
  #used = 0;

  constructor(bytes: number) {
    this.#bytes = bytes;
  }

  fits(way: Way, bytes: number): boolean {
    if (this.#used === 0) return true;
    const free = this.#bytes - this.#used;
    return bytes <= free && mayTakeMore(this.#held.get(way) ?? 0, free, way.circuit.isProven);
  }

  take(way: Way, bytes: number): void {
    this.#used += bytes;
    this.#held.set(way, (this.#held.get(way) ?? 0) + bytes);
  }

  giveBack(way: Way, bytes: number): void {
    this.#used -= bytes;
    const left = (this.#held.get(way) ?? 0) - bytes;
    if (left > 0) this.#held.set(way, left);
    else this.#held.delete(way);
  }
}

/** How much of what is free one may have that has worked, and one of which that is not known. */
const SHARE = { proven: 3, unproven: 1 / 4 };

/**
 * Whether a way out that has so much may have more, where so much is free. One that works gets three quarters of everything where
 * it is alone; of those that have not worked yet, and maybe all hang, each gets less than the one before.
 */
export function mayTakeMore(has: number, free: number, isProven: boolean): boolean {
  return has < (isProven ? SHARE.proven : SHARE.unproven) * free;
}

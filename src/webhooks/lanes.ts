import type { Room } from '../store/webhooks/leases.ts';

/** A delivery that waits in its endpoint's lane. */
export interface Queued<T> {
  readonly item: T;
  /** When it is no longer worth beginning, on the clock of `performance.now()`. */
  readonly beginBy: number;
}

interface Lane<T> {
  waiting: Queued<T>[];
  running: number;
  /** Failures since the last success. */
  failures: number;
  /** What a look into the database under way may bring; null while there is none. */
  asked: number | null;
  /** The last look brought as much as it might: there is probably more. */
  more: boolean;
}

export interface LanesOptions<T> {
  /** Under way at once in one lane. */
  readonly concurrency: number;
  /** In all lanes together, waiting ones included. */
  readonly limit: number;
  /** Works on an item. Never rejects. @returns whether it went well; null where that says nothing */
  readonly run: (item: T) => Promise<boolean | null>;
  /** There is room, and probably something to fill it with. */
  readonly onRoom: () => void;
}

/**
 * One lane for each endpoint, so that none waits for another.
 *
 * A lane takes twice as much as it can do at once, so that it need not wait for the next look into the database. One that
 * keeps failing is tried with one item at a time until one goes well: many dead endpoints hold few of the places.
 */
export class Lanes<T> {
  readonly #options: LanesOptions<T>;
  readonly #lanes = new Map<string, Lane<T>>();
  readonly #running = new Set<Promise<void>>();
  #held = 0;
  #askedFree = 0;
  /** The last look brought as much as all lanes could take. */
  #cut = false;

  constructor(options: LanesOptions<T>) {
    this.#options = options;
  }

  /** How much a lane that is empty takes. */
  get fullRoom(): number {
    return this.#options.concurrency * 2;
  }

  /** How much all lanes together can take now. */
  get free(): number {
    return this.#options.limit - this.#held;
  }

  get running(): number {
    return this.#running.size;
  }

  /** What the lanes can take; those that are not named can take `fullRoom`. An `add` has to follow. */
  ask(): Room[] {
    const rooms: Room[] = [];
    this.#askedFree = this.free;
    for (const [webhookId, lane] of this.#lanes) {
      lane.asked = this.#room(lane);
      rooms.push({ webhookId, room: lane.asked });
    }
    return rooms;
  }

  /** Takes what the look brought for each endpoint, and begins with it. */
  add(leased: ReadonlyMap<string, readonly Queued<T>[]>): void {
    let total = 0;
    for (const [webhookId, items] of leased) {
      this.#lane(webhookId).waiting.push(...items);
      total += items.length;
    }
    this.#held += total;
    this.#cut = total >= this.#askedFree;
    for (const [webhookId, lane] of this.#lanes) {
      const brought = leased.get(webhookId)?.length ?? 0;
      // A lane that could take nothing has learnt nothing.
      if (lane.asked !== 0) lane.more = brought >= (lane.asked ?? this.fullRoom);
      lane.asked = null;
      this.#pump(webhookId, lane);
    }
  }

  /** Takes out the items that have not begun. */
  clear(): T[] {
    const left: T[] = [];
    for (const lane of this.#lanes.values()) left.push(...lane.waiting.splice(0).map(({ item }) => item));
    this.#held -= left.length;
    return left;
  }

  /** Waits for what is under way. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  #lane(webhookId: string): Lane<T> {
    const lane = this.#lanes.get(webhookId) ?? { waiting: [], running: 0, failures: 0, asked: null, more: false };
    this.#lanes.set(webhookId, lane);
    return lane;
  }

  #concurrency(lane: Lane<T>): number {
    return lane.failures >= this.#options.concurrency ? 1 : this.#options.concurrency;
  }

  #room(lane: Lane<T>): number {
    return Math.max(0, this.#concurrency(lane) * 2 - lane.running - lane.waiting.length);
  }

  #pump(webhookId: string, lane: Lane<T>): void {
    while (lane.running < this.#concurrency(lane)) {
      const next = lane.waiting.shift();
      if (!next) break;
      // Its lease would end before it is done; it comes again by itself.
      if (next.beginBy < performance.now()) this.#held -= 1;
      else this.#begin(webhookId, lane, next.item);
    }
    // An idle lane without failures need not be remembered.
    const idle = lane.running === 0 && lane.waiting.length === 0 && lane.asked === null;
    if (idle && lane.failures === 0 && !lane.more) this.#lanes.delete(webhookId);
  }

  #begin(webhookId: string, lane: Lane<T>, item: T): void {
    lane.running += 1;
    const work = this.#options.run(item).then(wentWell => {
      this.#running.delete(work);
      this.#held -= 1;
      lane.running -= 1;
      if (wentWell !== null) lane.failures = wentWell ? 0 : lane.failures + 1;
      this.#pump(webhookId, lane);
      if (this.#wantsMore(lane)) this.#options.onRoom();
    });
    this.#running.add(work);
  }

  #wantsMore(lane: Lane<T>): boolean {
    if (lane.more && this.free > 0 && this.#room(lane) >= this.#concurrency(lane)) return true;
    return this.#cut && this.free >= this.#options.limit / 2;
  }
}

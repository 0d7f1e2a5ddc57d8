import { Bell } from '../../flow/bell.ts';

interface Owner {
  readonly userId: string | null;
  waiting: number;
  isSated: boolean;
  readonly pace: Pace;
}

/** The place of one job that waits. */
export interface Place {
  /** It has become known whose it is. */
  belongsTo(userId: string | null): void;
  /** It is its turn. */
  goOn(): void;
  /** It waits no longer. */
  leave(): void;
}

/** Of what is free, one owner may have a third: a quarter of everything, and each further one finds some. */
const SHARE = 3;
/** So many may always wait. */
const LEAST = 10;
/** Milliseconds within which an owner's jobs go on that are no backlog: they are waited for. */
const SOON = 2_000;
/** Jobs that are brought where nobody knows yet how quickly they go on, and else as many as go on in a second. */
const AHEAD = 200;
/** Of all places, what is left for those whose jobs do not go on. */
const RESERVE = 1 / 4;

/**
 * How many jobs wait, and whose they are. What waits is ids: it bounds memory, and how much of a queue one worker hides. Jobs that
 * go on quickly are brought at the pace at which they do. Of an owner whose jobs do not, only some may wait; there is room for
 * others all the same.
 */
export class WaitingRoom {
  readonly #places: number;
  readonly #now: () => number;
  readonly #owners = new Map<string, Owner>();
  readonly #left = new Bell();
  #waiting = 0;
  #closed = false;

  /** @param now a monotonic clock in milliseconds */
  constructor(places: number, now = () => performance.now()) {
    this.#places = places;
    this.#now = now;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get room(): number {
    if (this.#closed) return 0;
    const now = this.#now();
    let flowing = 0;
    let perSecond = 0;
    for (const owner of this.#owners.values()) {
      if (!flows(owner, now)) continue;
      flowing += owner.waiting;
      perSecond += owner.pace.perSecond(now);
    }
    const wanted = Math.max(AHEAD, Math.min(perSecond, this.#places * (1 - RESERVE)));
    return Math.max(0, Math.min(this.#places - this.#waiting, Math.floor(wanted) - flowing));
  }

  async whenRoom(signal: AbortSignal): Promise<void> {
    while (this.room === 0 && !signal.aborted) {
      // That jobs do not go on is heard of by nothing but the time.
      const look = setTimeout(() => this.#left.ring(), LOOK);
      await this.#left.heard(signal);
      clearTimeout(look);
    }
  }

  /** Owners of whom as many wait as may, until it is half of that. */
  get sated(): readonly (string | null)[] {
    const most = this.#mostOfOne;
    const sated: (string | null)[] = [];
    for (const owner of this.#owners.values()) {
      if (owner.waiting >= most) owner.isSated = true;
      else if (owner.waiting < most / 2) owner.isSated = false;
      if (owner.isSated) sated.push(owner.userId);
    }
    return sated;
  }

  /** While it is closed, it has room for nobody. */
  close(on: boolean): void {
    this.#closed = on;
    this.#left.ring();
  }

  enter(userId: string | null): Place {
    this.#add(userId);
    let whose = userId;
    let hasLeft = false;
    const leave = (): void => {
      if (hasLeft) return;
      hasLeft = true;
      this.#remove(whose);
      this.#left.ring();
    };
    return {
      belongsTo: owner => {
        if (hasLeft || owner === whose) return;
        this.#add(owner);
        this.#remove(whose);
        whose = owner;
      },
      goOn: () => {
        if (!hasLeft) this.#owners.get(keyOf(whose))?.pace.note(this.#now());
        leave();
      },
      leave,
    };
  }

  #add(userId: string | null): void {
    const key = keyOf(userId);
    const owner = this.#owners.get(key) ?? { userId, waiting: 0, isSated: false, pace: new Pace(this.#now()) };
    this.#owners.set(key, owner);
    owner.waiting += 1;
    this.#waiting += 1;
  }

  #remove(userId: string | null): void {
    const key = keyOf(userId);
    const owner = this.#owners.get(key);
    if (!owner) return;
    owner.waiting -= 1;
    this.#waiting -= 1;
    if (owner.waiting === 0) this.#owners.delete(key);
  }

  /** Whether an owner has far more waiting than he may, as where a queue brings nothing but his, and it does not go on. */
  isOverfull(userId: string | null): boolean {
    const owner = this.#owners.get(keyOf(userId));
    return owner !== undefined && owner.waiting > 2 * this.#mostOfOne && !flows(owner, this.#now());
  }

  get #mostOfOne(): number {
    return Math.max(LEAST, Math.floor((this.#places - this.#waiting) / SHARE));
  }
}

/** Whether all that an owner has waiting goes on soon, as far as that can be known. */
function flows({ waiting, pace }: Owner, now: number): boolean {
  return pace.isNew(now) || waiting <= (pace.perSecond(now) * SOON) / 1_000;
}

/** How quickly an owner's jobs go on, over the last second or two. */
class Pace {
  readonly #since: number;
  #from: number;
  #count = 0;
  #before = 0;

  constructor(now: number) {
    this.#since = now;
    this.#from = now;
  }

  note(now: number): void {
    this.#roll(now);
    this.#count += 1;
  }

  /** Whether nothing can be said yet. */
  isNew(now: number): boolean {
    return now - this.#since < MEASURED_FROM;
  }

  perSecond(now: number): number {
    this.#roll(now);
    const elapsed = Math.max(MEASURED_FROM, now - this.#from);
    return Math.max(this.#before, (this.#count * PERIOD) / elapsed);
  }

  #roll(now: number): void {
    const elapsed = now - this.#from;
    if (elapsed < PERIOD) return;
    this.#before = elapsed < 2 * PERIOD ? (this.#count * PERIOD) / elapsed : 0;
    this.#count = 0;
    this.#from = now;
  }
}

/** Milliseconds. */
const PERIOD = 1_000;
const MEASURED_FROM = 500;
const LOOK = 100;

/** No owner's id has a space before it. */
function keyOf(userId: string | null): string {
  return userId === null ? '' : ` ${userId}`;
}

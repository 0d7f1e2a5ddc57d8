import { Bell } from '../queue/bell.ts';

interface Owner {
  readonly userId: string | null;
  waiting: number;
  isSated: boolean;
}

/** The place of one job that waits. */
export interface Place {
  /** It has become known whose it is. */
  belongsTo(userId: string | null): void;
  /** It waits no longer. */
  leave(): void;
}

/** Of what is free, one owner may have a third: a quarter of everything, and each further one finds some. */
const SHARE = 3;
/** So many may always wait. */
const LEAST = 10;

/** How many jobs wait, and whose they are. What waits is ids: it bounds memory, and how much of a queue one worker hides. */
export class WaitingRoom {
  readonly #places: number;
  readonly #owners = new Map<string, Owner>();
  readonly #left = new Bell();
  #waiting = 0;
  #closed = false;

  constructor(places: number) {
    this.#places = places;
  }

  get waiting(): number {
    return this.#waiting;
  }

  get room(): number {
    return this.#closed ? 0 : Math.max(0, this.#places - this.#waiting);
  }

  async whenRoom(signal: AbortSignal): Promise<void> {
    while (this.room === 0 && !signal.aborted) await this.#left.heard(signal);
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
    return {
      belongsTo: owner => {
        if (hasLeft || owner === whose) return;
        this.#add(owner);
        this.#remove(whose);
        whose = owner;
      },
      leave: () => {
        if (hasLeft) return;
        hasLeft = true;
        this.#remove(whose);
        this.#left.ring();
      },
    };
  }

  #add(userId: string | null): void {
    const key = keyOf(userId);
    const owner = this.#owners.get(key) ?? { userId, waiting: 0, isSated: false };
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

  /** Whether an owner has far more waiting than he may, as where a queue brings nothing but his. */
  isOverfull(userId: string | null): boolean {
    return (this.#owners.get(keyOf(userId))?.waiting ?? 0) > 2 * this.#mostOfOne;
  }

  get #mostOfOne(): number {
    return Math.max(LEAST, Math.floor((this.#places - this.#waiting) / SHARE));
  }
}

/** No owner's id has a space before it. */
function keyOf(userId: string | null): string {
  return userId === null ? '' : ` ${userId}`;
}

import type { FairScheduler } from '../flow/fair-scheduler.ts';

/** Who sends a message, as far as memory is shared out. */
export interface Holder {
  /** Of the API key. */
  readonly key: string;
  readonly owner: string;
}

export interface AdmissionLimits {
  /** Bytes of messages that may be in memory at once. */
  readonly bytes: number;
  /** Which share of what the others leave one key may take; up to 1. */
  readonly share: number;
}

type Turns = Pick<FairScheduler, 'untilWanted'>;

/** Messages of so many bytes are small: they have room of their own, which large ones never take. */
export const SMALL_MESSAGE = 64 * 1024;
/** How much room that is, of `bytes` and on top of them. */
const ROOM_FOR_SMALL = 1 / 16;

/**
 * The bytes of messages that are in memory, over all sessions: what has arrived and is not stored as yet. Nobody gets all of the
 * room: a key may take a share of what the other keys leave, and an owner, of what the other owners leave, that share and the
 * same share of the rest. So a new key always finds some, and one that is alone finds enough.
 */
export class Admission {
  readonly #large: Room;
  readonly #small: Room;
  readonly #turns: Turns;

  /**
   * @param limits asked for each time, as they may change. What is in memory already stays
   * @param turns that messages take, by key, once they have arrived
   */
  constructor(limits: () => AdmissionLimits, turns: Turns) {
    this.#turns = turns;
    this.#large = new Room(limits);
    this.#small = new Room(() => ({ ...limits(), bytes: limits().bytes * ROOM_FOR_SMALL }));
  }

  /** Bytes in flight. */
  get used(): number {
    return this.#large.used + this.#small.used;
  }

  /** Whether a message of that many bytes would be let in now; of 0, whether any would. */
  hasRoomFor(holder: Holder, bytes: number): boolean {
    const fits = (room: Room): boolean => room.fits(holder, Math.max(bytes, 1));
    return (bytes <= SMALL_MESSAGE && fits(this.#small)) || fits(this.#large);
  }

  /** Room for one message, which grows as it arrives. */
  begin(holder: Holder): Holding {
    return new Holding(holder, this.#small, this.#large, this.#turns);
  }
}

/** What one message holds. */
export class Holding {
  readonly #holder: Holder;
  readonly #small: Room;
  readonly #large: Room;
  readonly #turns: Turns;
  #inSmall = 0;
  #inLarge = 0;

  constructor(holder: Holder, small: Room, large: Room, turns: Turns) {
    this.#holder = holder;
    this.#small = small;
    this.#large = large;
    this.#turns = turns;
  }

  /** Resolves when its key has few enough messages before it that more of it is of use; null where it has, as for all that are small. */
  untilWanted(): Promise<void> | null {
    return this.#inLarge === 0 ? null : this.#turns.untilWanted(this.#holder.key);
  }

  /** Takes so many bytes more, or says no and takes none. */
  tryTake(bytes: number): boolean {
    const isSmall = this.#inLarge === 0 && this.#inSmall + bytes <= SMALL_MESSAGE;
    if (isSmall && this.#small.tryTake(this.#holder, bytes)) {
      this.#inSmall += bytes;
      return true;
    }
    // It is large now, or small ones are very many.
    if (!this.#large.tryTake(this.#holder, this.#inSmall + bytes)) return false;
    this.#inLarge += this.#inSmall + bytes;
    this.#small.giveBack(this.#holder, this.#inSmall);
    this.#inSmall = 0;
    return true;
  }

  /** Gives all of it back; what was given back is not given back again. */
  release(): void {
    this.#small.giveBack(this.#holder, this.#inSmall);
    this.#large.giveBack(this.#holder, this.#inLarge);
    this.#inSmall = 0;
    this.#inLarge = 0;
  }
}

class Room {
  readonly #limits: () => AdmissionLimits;
  readonly #byKey = new Map<string, number>();
  readonly #byOwner = new Map<string, number>();
  #used = 0;

  constructor(limits: () => AdmissionLimits) {
    this.#limits = limits;
  }

  get used(): number {
    return this.#used;
  }

  fits({ key, owner }: Holder, bytes: number): boolean {
    const { bytes: limit, share } = this.#limits();
    const rest = 1 - share;
    const isWithin = (held: number, part: number): boolean => held + bytes <= part * (limit - (this.#used - held));
    return isWithin(this.#byKey.get(key) ?? 0, share) && isWithin(this.#byOwner.get(owner) ?? 0, 1 - rest * rest);
  }

  tryTake(holder: Holder, bytes: number): boolean {
    if (!this.fits(holder, bytes)) return false;
    this.#add(holder, bytes);
    return true;
  }

  giveBack(holder: Holder, bytes: number): void {
    if (bytes > 0) this.#add(holder, -bytes);
  }

  #add({ key, owner }: Holder, bytes: number): void {
    this.#used += bytes;
    addTo(this.#byKey, key, bytes);
    addTo(this.#byOwner, owner, bytes);
  }
}

function addTo(counts: Map<string, number>, name: string, bytes: number): void {
  const count = (counts.get(name) ?? 0) + bytes;
  if (count > 0) counts.set(name, count);
  else counts.delete(name);
}

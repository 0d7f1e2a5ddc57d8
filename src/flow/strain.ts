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

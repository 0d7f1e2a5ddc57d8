import type { Way } from './way.ts';

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

/** The bytes of messages that may be in memory at once, over all sessions. */
export class ByteBudget {
  readonly #limit: () => number;
  #used = 0;

  /** @param limit bytes; asked for each time, as it may change. What is in memory already stays */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  /** Bytes in flight. */
  get used(): number {
    return this.#used;
  }

  /** Whether a new message of that many bytes would be let in now. */
  hasRoomFor(bytes: number): boolean {
    return this.#used === 0 || this.#used + bytes < this.#limit();
  }

  /** Takes `bytes`, or says no where they would exceed the limit. A lone message is let in whatever its size. */
  tryTake(bytes: number, alreadyTaken = 0): boolean {
    if (this.#used + bytes > this.#limit() && this.#used > alreadyTaken) return false;
    this.#used += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#used -= bytes;
  }
}

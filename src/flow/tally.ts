/** Counts what is open by name: connections by address, sessions by key. */
export class Tally {
  readonly #counts = new Map<string, number>();

  /** How many names there are something of. */
  get names(): number {
    return this.#counts.size;
  }

  /** One more of that name, unless there are `limit` already. */
  tryTake(name: string, limit: number): boolean {
    const count = this.#counts.get(name) ?? 0;
    if (count >= limit) return false;
    this.#counts.set(name, count + 1);
    return true;
  }

  /** One less; to be called once for each that was taken. */
  giveBack(name: string): void {
    const count = (this.#counts.get(name) ?? 0) - 1;
    if (count > 0) this.#counts.set(name, count);
    else this.#counts.delete(name);
  }
}

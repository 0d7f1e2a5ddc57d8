const CR = 0x0d;
const LF = 0x0a;
const NOTHING = Buffer.alloc(0);

/** A line without its end. */
export interface CommandLine {
  readonly bytes: Buffer;
  /** It ended in LF without CR, which readers of the same bytes may see as two lines or as one. */
  readonly isBare: boolean;
}

/** Cuts what a client sends into lines. */
export class CommandLines {
  #rest: Buffer = NOTHING;
  /** How much of the rest has been searched for a line end. */
  #searched = 0;

  /** @param bytes may be kept as they are until they are taken */
  push(bytes: Buffer): void {
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
  }

  /** Bytes that are not taken as yet. */
  get length(): number {
    return this.#rest.length;
  }

  /** Takes the next line; null where its end has not come. */
  next(): CommandLine | null {
    const end = this.#rest.indexOf(LF, this.#searched);
    if (end === -1) {
      this.#searched = this.#rest.length;
      return null;
    }
    const isBare = this.#rest[end - 1] !== CR;
    const bytes = this.#rest.subarray(0, isBare ? end : end - 1);
    this.#keep(this.#rest.subarray(end + 1));
    return { bytes, isBare };
  }

  /** Takes all that is left, whatever it is. */
  takeRest(): Buffer {
    const rest = this.#rest;
    this.#keep(NOTHING);
    return rest;
  }

  #keep(rest: Buffer): void {
    this.#rest = rest.length === 0 ? NOTHING : rest;
    this.#searched = 0;
  }
}

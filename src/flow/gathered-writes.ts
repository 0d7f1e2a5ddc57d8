export interface GatheredWritesOptions {
  /** Writes what has been gathered until it is called, maybe nothing. Never rejects. */
  readonly write: () => Promise<void>;
  /** Milliseconds for which is gathered. */
  readonly interval: number;
}

/**
 * Writes now and then what is gathered beside the path of messages, one write after the other. What is gathered stays with its owner until
 * its write begins, so that the owner's bounds hold however long the one before takes.
 */
export class GatheredWrites {
  readonly #options: GatheredWritesOptions;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: GatheredWritesOptions) {
    this.#options = options;
  }

  /** There is something to write. */
  soon(): void {
    this.#timer ??= setTimeout(() => void this.flush(), this.#options.interval).unref();
  }

  /** Writes what is left, behind the write under way. Never rejects. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#writing = this.#writing.then(() => {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      return this.#options.write();
    });
    return this.#writing;
  }
}

/** Tells all who wait for something just now that it may have come. */
export class Bell {
  #waiting: (() => void)[] = [];

  ring(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const end of waiting) end();
  }

  /** Resolves when it rings, or the signal comes. */
  heard(signal: AbortSignal): Promise<void> {
    return new Promise(resolve => {
      if (signal.aborted) return resolve();
      const end = () => {
        signal.removeEventListener('abort', end);
        resolve();
      };
      signal.addEventListener('abort', end, { once: true });
      this.#waiting.push(end);
    });
  }
}

/** Ends a wait early. A call that comes before the wait counts, until it is reset. */
export class WakeUp {
  #isAwake = false;
  #end: (() => void) | undefined;

  wake(): void {
    this.#isAwake = true;
    this.#end?.();
  }

  reset(): void {
    this.#isAwake = false;
  }

  /** Resolves when it is woken, or after that many milliseconds. */
  async wait(milliseconds: number): Promise<void> {
    if (this.#isAwake) return;
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, milliseconds);
      this.#end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#end = undefined;
  }
}

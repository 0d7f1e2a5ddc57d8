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

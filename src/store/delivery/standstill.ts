import type { Logger } from '../../observability/log.ts';

/** Why it stands still is for the log: it names tables and roles. */
const REASON = 'the database refuses what sending needs, so nothing is sent';

/**
 * Whether a worker stands still: the database refuses what every message needs. Where it takes no outcomes, whatever was sent now
 * could not be written down, and would be sent again. It then claims nothing, begins no call, and is not ready.
 */
export class Standstill {
  readonly #logger: Logger;
  #causes = 0;
  #end = Promise.withResolvers<void>();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get isOn(): boolean {
    return this.#causes > 0;
  }

  /** For readiness; empty while it works. */
  get reasons(): readonly string[] {
    return this.isOn ? [REASON] : [];
  }

  /** @returns what ends it, for this cause; it works again when all have ended */
  begin(error: unknown): Disposable {
    if (this.#causes === 0) {
      const what =
        'the database refuses what sending needs: this worker sends nothing until it takes it (a missing grant, or a table that was changed?)';
      this.#logger.fatal({ err: error }, what);
    }
    this.#causes += 1;
    let ended = false;
    return {
      [Symbol.dispose]: () => {
        if (ended) return;
        ended = true;
        this.#causes -= 1;
        if (this.#causes > 0) return;
        this.#end.resolve();
        this.#end = Promise.withResolvers();
        this.#logger.info('the database takes again what sending needs');
      },
    };
  }

  /** Waits for its end, or for the signal. */
  async passed(signal: AbortSignal): Promise<void> {
    if (!this.isOn || signal.aborted) return;
    const stopped = Promise.withResolvers<void>();
    const onAbort = () => stopped.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    await Promise.race([this.#end.promise, stopped.promise]);
    signal.removeEventListener('abort', onAbort);
  }
}

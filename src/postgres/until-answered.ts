import { setTimeout as delay } from 'node:timers/promises';

export interface UntilAnsweredOptions {
  /** Nobody waits any longer. */
  readonly signal: AbortSignal;
  /** Is told of each failure that is not the last. */
  readonly onFault: (error: unknown) => void;
}

/** Milliseconds between two tries. */
const PAUSE = 250;

/**
 * Runs work that may be run again without harm, until the database has answered it.
 *
 * @throws the database's last error at the signal, and any error that trying again would not change
 */
export async function untilAnswered<T>(work: () => Promise<T>, options: UntilAnsweredOptions): Promise<T> {
  const { signal, onFault } = options;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted || !isTemporary(error)) throw error;
      onFault(error);
      await delay(PAUSE, undefined, { signal }).catch(() => {});
    }
  }
}

/** SQLSTATE classes that say that the statement itself is at fault, or what it meets in the schema; all else may pass. */
export function isTemporary(error: unknown): boolean {
  return !(error instanceof Error && 'code' in error && /^(?:0A|2[1237]|3[89]|42|44|P0)/.test(String(error.code)));
}

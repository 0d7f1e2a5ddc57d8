import { Pauses, retry } from '../flow/retry.ts';

export interface UntilAnsweredOptions {
  /** Nobody waits any longer. */
  readonly signal: AbortSignal;
  /** Is told of each failure that is not the last. */
  readonly onFault: (error: unknown) => void;
  /** Where the database refuses the statement whatever it is about, the worker stands still until it does not. Absent: that is thrown. */
  readonly standstill?: { begin(error: unknown): Disposable };
}

/** Milliseconds between two tries. */
const PAUSE = 250;
/** Between two tries of what is refused. */
const REFUSED_PAUSE = { first: 500, longest: 10_000 };

/**
 * Runs work that may be run again without harm, until the database has answered it.
 *
 * @throws the database's last error at the signal, and any error that trying again would not change
 */
export async function untilAnswered<T>(work: () => Promise<T>, options: UntilAnsweredOptions): Promise<T> {
  const { signal, onFault, standstill } = options;
  using causes = new DisposableStack();
  let refusedPauses: Pauses | undefined;
  const pauseAfter = (error: unknown): number | null => {
    if (standstill !== undefined && refusesAll(error)) {
      if (!refusedPauses) causes.use(standstill.begin(error));
      refusedPauses ??= new Pauses(REFUSED_PAUSE);
      return refusedPauses.next();
    }
    if (!isTemporary(error)) return null;
    onFault(error);
    return PAUSE;
  };
  return await retry(work, { signal, pauseAfter });
}

/** SQLSTATE class 42 (a missing grant, a renamed table): the statement is refused, whatever it is about. */
export function refusesAll(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^42/.test(String(error.code));
}

/** SQLSTATE classes that say that the statement itself is at fault, or what it meets in the schema; all else may pass. */
export function isTemporary(error: unknown): boolean {
  return !(error instanceof Error && 'code' in error && /^(?:0A|2[1237]|3[89]|42|44|P0)/.test(String(error.code)));
}

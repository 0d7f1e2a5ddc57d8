import { untilAborted } from '../platform/until-aborted.ts';

/** What may call a message off, from its arrival to its commit: its client goes away, or its key is revoked. */
export interface Cancellation {
  /** Aborted once the message may not be stored any more; the reason is what it ends with. */
  readonly signal: AbortSignal;
  /** Whether the key was found valid not long ago, so that it need not be asked for again before a statement. */
  readonly isConfirmed: boolean;
  /**
   * Finds out whether the key is still valid; where it is not, the signal is aborted.
   *
   * @throws the error of a look-up that failed
   */
  confirm(): Promise<void>;
}

/** Nobody waits for the message any more, so that nobody is told. */
export class Abandoned extends Error {
  override readonly name = 'Abandoned';
}

/** Of messages that nobody may call off. */
export const NEVER_CANCELLED: Cancellation = {
  signal: new AbortController().signal,
  isConfirmed: true,
  confirm: async () => {},
};

/**
 * Milliseconds between two times that keys are asked for while a statement is under way, and for which the answer is then
 * waited. The key cache's answers are up to nine seconds old: a key that was revoked stops within ten.
 */
const INTERVAL = 500;

/** The database has to answer for a key before a statement goes on; the statement is cancelled until it does. */
class Unconfirmed extends Error {
  override readonly name = 'Unconfirmed';
}

/** Asks for the keys that nobody has asked for in a while. @throws the error of a look-up that failed */
export async function confirmAll(cancellations: readonly Cancellation[]): Promise<void> {
  const due = cancellations.filter(({ isConfirmed, signal }) => !(isConfirmed || signal.aborted));
  if (due.length > 0) await Promise.all(due.map(cancellation => cancellation.confirm()));
}

/**
 * Runs a statement that a stall of the database may hold up for long, and sees to it that the keys of its messages are valid
 * all the while. Where that cannot be found out, the statement is cancelled and run again once it can.
 *
 * @param run rejects with the signal's reason where it was cancelled and nothing came of it
 */
export async function whileConfirmed<T>(
  cancellations: readonly Cancellation[],
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (;;) {
    // Nearly always they are.
    if (!cancellations.every(({ isConfirmed }) => isConfirmed)) await untilAborted(signal, confirmAll(cancellations));
    signal.throwIfAborted();
    const cancel = new AbortController();
    const pass = () => cancel.abort(signal.reason);
    signal.addEventListener('abort', pass, { once: true });
    const endWatch = watchKeys(cancellations, error => cancel.abort(error));
    try {
      return await run(cancel.signal);
    } catch (error) {
      if (!(error instanceof Unconfirmed)) throw error;
    } finally {
      endWatch();
      signal.removeEventListener('abort', pass);
    }
  }
}

/** @returns ends the watch */
function watchKeys(cancellations: readonly Cancellation[], onUnconfirmed: (error: Unconfirmed) => void): () => void {
  let timer: NodeJS.Timeout;
  let hasEnded = false;
  const watch = (): void => {
    if (!hasEnded) timer = setTimeout(look, INTERVAL);
  };
  const look = (): void => {
    const late = setTimeout(() => !hasEnded && onUnconfirmed(new Unconfirmed()), INTERVAL);
    timer = late;
    const goOn = (): void => {
      clearTimeout(late);
      watch();
    };
    // After a failure the time runs out: the next statement asks again, and fails where that fails again.
    confirmAll(cancellations).then(goOn, () => {});
  };
  watch();
  return () => {
    hasEnded = true;
    clearTimeout(timer);
  };
}

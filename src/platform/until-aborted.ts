/**
 * Waits for a promise no longer than the signal allows. The work goes on, and its later failure is ignored.
 *
 * @throws the signal's reason
 */
export function untilAborted<T>(signal: AbortSignal, promised: Promise<T>): Promise<T> {
  // Every message comes by here: `Promise.race` would make four promises more.
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    promised.then(
      value => {
        signal.removeEventListener('abort', abort);
        resolve(value);
      },
      error => {
        signal.removeEventListener('abort', abort);
        reject(error);
      },
    );
  });
}

/**
 * Waits for a promise no longer than the signal allows. The work goes on, and its later failure is ignored.
 *
 * @throws the signal's reason
 */
export async function untilAborted<T>(signal: AbortSignal, promised: Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promised, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

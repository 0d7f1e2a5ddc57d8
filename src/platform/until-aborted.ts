/**
 * Waits for what is promised no longer than the signal allows. What was begun goes on; its failure later is nobody's.
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

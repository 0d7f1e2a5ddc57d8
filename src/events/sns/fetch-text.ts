export interface FetchLimits {
  /** Milliseconds for the whole answer. */
  readonly timeout: number;
  readonly maxBytes: number;
}

/**
 * A GET that follows no redirect: the place was checked, and the next one would not be.
 *
 * @throws where there is no answer in time, it is a redirect, or it is too large
 */
export async function fetchText(
  fetch: typeof globalThis.fetch,
  url: string,
  { timeout, maxBytes }: FetchLimits,
): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(timeout) });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > maxBytes) throw new Error(`the answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return { status: response.status, text: Buffer.concat(chunks).toString('utf8') };
}

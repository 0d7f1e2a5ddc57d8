export interface ReadingOptions<T> {
  readonly read: () => Promise<T>;
  /** Milliseconds for which an answer serves all who ask. */
  readonly maxAge?: number;
  /** Milliseconds that one who asks waits for a new answer; then the last one has to do. */
  readonly patience?: number;
  /** Milliseconds after which an answer is worth nothing any more. */
  readonly worthless?: number;
}

const MAX_AGE = 1_000;
const PATIENCE = 100;
const WORTHLESS = 60_000;

/**
 * What a gauge shows of something that takes a query. A scrape never waits long for it and never fails by it: while the
 * database is away the last answer stands, and after a minute there is none. The function returned never rejects.
 */
export function createReading<T>(options: ReadingOptions<T>): () => Promise<T | null> {
  const { read, maxAge = MAX_AGE, patience = PATIENCE, worthless = WORTHLESS } = options;
  let last: { readonly value: T; readonly at: number } | null = null;
  let askedAt = Number.NEGATIVE_INFINITY;
  // One that is never answered is not asked again and again.
  let reading: Promise<void> | null = null;

  async function refresh(): Promise<void> {
    try {
      const value = await read();
      last = { value, at: performance.now() };
    } catch {
      // It is unknown, which shows.
    } finally {
      reading = null;
    }
  }

  return async () => {
    if (reading === null && performance.now() - askedAt >= maxAge) {
      askedAt = performance.now();
      reading = refresh();
    }
    if (reading !== null) await atMost(reading, patience);
    return last !== null && performance.now() - last.at < worthless ? last.value : null;
  };
}

async function atMost(work: Promise<void>, milliseconds: number): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, milliseconds);
  await Promise.race([work, late.promise]);
  clearTimeout(timer);
}
